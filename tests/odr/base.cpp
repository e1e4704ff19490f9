#include "doors.hpp"

double product_base() { return product(); }
