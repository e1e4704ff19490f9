#pragma once

#if 1
#  include <qtk/quantize/b.hpp>
#endif
