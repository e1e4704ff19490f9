// No include guard: included once per ISA, inside that ISA's namespace and target region. Needs
// `vector_bytes` in scope.

/// Any type may be read and written through it, at any address.
using unit __attribute__((vector_size(vector_bytes), aligned(1), may_alias)) = long long;

/// The yardstick: n elements, In bytes of each read from `a` (and as many from `b` where it is not
/// null) and Out bytes of each written to `y` by ordinary stores, with nothing computed.
template <std::size_t In, std::size_t Out>
inline void stream(std::size_t n, const std::byte* a, const std::byte* b, std::byte* y) {
  constexpr std::size_t size = vector_bytes, kept = Out == 0 || Out > In ? In : Out;
  const auto load = [&](const std::byte* p) { return *reinterpret_cast<const unit*>(p); };
  const std::size_t body = n - n % size;
  for (std::size_t i = 0; i < body; i += size) {
    unit v[In];
    QTK_UNROLL
    for (std::size_t k = 0; k < In; ++k) v[k] = load(a + i * In + k * size);
    if (b != nullptr) {
      QTK_UNROLL
      for (std::size_t k = 0; k < In; ++k) v[k] ^= load(b + i * In + k * size);
    }
    QTK_UNROLL
    for (std::size_t k = kept; k < In; ++k) v[k % kept] ^= v[k];
    QTK_UNROLL
    for (std::size_t k = 0; k < Out; ++k)
      *reinterpret_cast<unit*>(y + i * Out + k * size) = v[k % In];
    if constexpr (Out == 0) {
      QTK_UNROLL
      for (std::size_t k = 0; k < In; ++k) __asm__ volatile("" : : "x"(v[k]));
    }
  }
}
