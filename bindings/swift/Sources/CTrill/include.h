#include <trill.h>
