// The vendor's small vector types, with its names, sizes and alignments.
#pragma once

#define HOST_DEVICE_VECTORS(T, name)                                   \
    struct alignas(2 * sizeof(T)) name##2 {                            \
        T x, y;                                                        \
    };                                                                 \
    struct name##3 {                                                   \
        T x, y, z;                                                     \
    };                                                                 \
    struct alignas(sizeof(T) > 4 ? 16 : 4 * sizeof(T)) name##4 {       \
        T x, y, z, w;                                                  \
    };                                                                 \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

using uchar = unsigned char;
using ushort = unsigned short;
using uint = unsigned int;
HOST_DEVICE_VECTORS(uchar, uchar)
HOST_DEVICE_VECTORS(short, short)
HOST_DEVICE_VECTORS(ushort, ushort)
HOST_DEVICE_VECTORS(int, int)
HOST_DEVICE_VECTORS(uint, uint)
HOST_DEVICE_VECTORS(float, float)
#undef HOST_DEVICE_VECTORS

struct alignas(16) double2 {
    double x, y;
};
struct alignas(16) longlong2 {
    long long x, y;
};
struct alignas(16) ulonglong2 {
    unsigned long long x, y;
};
inline double2 make_double2(double x, double y) { return {x, y}; }
inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }

struct dim3 {
    unsigned int x = 1, y = 1, z = 1;
    constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1)
        : x(vx), y(vy), z(vz) {}
};
