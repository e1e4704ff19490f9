#pragma once

QTK_TARGET_BEGIN(QTK_FEATURES_AVX2)
#include <vector>
QTK_TARGET_END
