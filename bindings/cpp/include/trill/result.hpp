// What a function gives that can fail: a value or an error, with exceptions or without.
#ifndef TRILL_CPP_RESULT_HPP
#define TRILL_CPP_RESULT_HPP

#include <trill/enums.hpp>

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>
#include <variant>

namespace trill {

/// Why something did not work. Thrown by Result::value.
class Error : public std::exception {
public:
    Error(Status status, std::string message) : status_(status), message_(std::move(message)) {}
    explicit Error(const trill_error& told) : Error(static_cast<Status>(told.status), told.message) {}

    Status status() const noexcept { return status_; }
    /// What was wrong and what to do, in English.
    const std::string& message() const noexcept { return message_; }
    /// The status as logs and JSON have it, such as "calling_self".
    const char* name() const noexcept { return trill_status_name(static_cast<std::int32_t>(status_)); }
    const char* what() const noexcept override { return message_.c_str(); }

private:
    Status status_;
    std::string message_;
};

namespace detail {
[[noreturn]] inline void raise(const Error& error) {
#if defined(__cpp_exceptions)
    throw error;
#else
    static_cast<void>(error);
    std::abort();
#endif
}
}  // namespace detail

/// A value or an error, as std::expected of C++23. Test it and look at error(), or call value(), which throws the error
/// (and, in a program that is built without exceptions, aborts).
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& value() & { return has_value() ? *std::get_if<0>(&state_) : (detail::raise(error()), *std::get_if<0>(&state_)); }
    const T& value() const& { return const_cast<Result&>(*this).value(); }
    T&& value() && { return std::move(value()); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(value()); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    /// Only when there is no value.
    const Error& error() const noexcept { return *std::get_if<1>(&state_); }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (!has_value()) {
            detail::raise(error());
        }
    }
    const Error& error() const noexcept { return *std::get_if<1>(&state_); }

private:
    std::variant<std::monostate, Error> state_;
};

namespace detail {

/// The error that a C function gave, freed.
inline Error taken(std::int32_t status, trill_error* told) {
    Error error = told ? Error(*told) : Error(static_cast<Status>(status), trill_status_text(status));
    trill_error_free(told);
    return error;
}

/// Calls a C function whose last parameter is its error.
template <typename Call>
Result<void> attempt(Call call) {
    trill_error* told = nullptr;
    const std::int32_t status = call(&told);
    if (status != TRILL_STATUS_OK) {
        return taken(status, told);
    }
    return {};
}

}  // namespace detail
}  // namespace trill

#endif
