#ifndef QTK_A
#define QTK_A
#endif
