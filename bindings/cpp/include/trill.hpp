// Trill for C++17: trill.h with owners, values and std::function. Header-only; link the C library.
//
// trill.h is the reference: what a function here does, which errors it gives and on which thread its callbacks run stands at
// the C function of that name.
#ifndef TRILL_CPP_HPP
#define TRILL_CPP_HPP

#include <trill/engine.hpp>

#endif
