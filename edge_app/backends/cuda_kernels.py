"""The two CUDA kernels of preprocessing, as text: pycuda compiles them on the device.

They sample what `edge_app/imaging/upright_crop.py` samples with OpenCV; pixel centres lie at whole
numbers. The tests compile this text as C++, compare its results with OpenCV's, and compile it for
Orin with NVIDIA's own compiler, so arithmetic and syntax are checked without a GPU.
"""

SOURCE = r"""
#define CHANNELS 3

__device__ inline unsigned char rounded(float value) {
    return (unsigned char)fminf(fmaxf(rintf(value), 0.0f), 255.0f);
}

// Mean of the source pixels that each target pixel covers, border pixels by their covered share:
// cv2.INTER_AREA. Enlarging is bilinear, as cv2.INTER_LINEAR. Beyond the picture: grey.
extern "C" __global__ void letterbox(
    const unsigned char* source, int source_h, int source_w,
    unsigned char* target, int target_h, int target_w,
    int new_h, int new_w, int pad_y, int pad_x, unsigned char grey)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= target_w || y >= target_h) return;
    unsigned char* out = target + (y * target_w + x) * CHANNELS;
    int u = x - pad_x, v = y - pad_y;
    if (u < 0 || v < 0 || u >= new_w || v >= new_h) {
        for (int c = 0; c < CHANNELS; ++c) out[c] = grey;
        return;
    }
    float step_x = (float)source_w / new_w, step_y = (float)source_h / new_h;
    float sum[CHANNELS] = {0.0f, 0.0f, 0.0f};
    if (step_x > 1.0f || step_y > 1.0f) {
        float left = u * step_x, right = fminf(left + step_x, (float)source_w);
        float top = v * step_y, bottom = fminf(top + step_y, (float)source_h);
        float area = 0.0f;
        for (int j = (int)top; j < bottom; ++j) {
            float high = fminf(bottom, j + 1.0f) - fmaxf(top, (float)j);
            for (int i = (int)left; i < right; ++i) {
                float weight = high * (fminf(right, i + 1.0f) - fmaxf(left, (float)i));
                const unsigned char* pixel = source + (j * source_w + i) * CHANNELS;
                for (int c = 0; c < CHANNELS; ++c) sum[c] += weight * pixel[c];
                area += weight;
            }
        }
        for (int c = 0; c < CHANNELS; ++c) out[c] = rounded(sum[c] / area);
        return;
    }
    float at_x = fmaxf((u + 0.5f) * step_x - 0.5f, 0.0f);
    float at_y = fmaxf((v + 0.5f) * step_y - 0.5f, 0.0f);
    int x0 = (int)at_x, y0 = (int)at_y;
    int x1 = min(x0 + 1, source_w - 1), y1 = min(y0 + 1, source_h - 1);
    float fx = at_x - x0, fy = at_y - y0;
    for (int c = 0; c < CHANNELS; ++c) {
        float upper = source[(y0 * source_w + x0) * CHANNELS + c] * (1.0f - fx)
                    + source[(y0 * source_w + x1) * CHANNELS + c] * fx;
        float lower = source[(y1 * source_w + x0) * CHANNELS + c] * (1.0f - fx)
                    + source[(y1 * source_w + x1) * CHANNELS + c] * fx;
        out[c] = rounded(upper * (1.0f - fy) + lower * fy);
    }
}

// All rotated crops of a frame at once, straight from the frame: bilinear, the border repeated.
// matrices: per crop the (2, 3) map from crop pixels to frame pixels, row by row.
extern "C" __global__ void upright_crops(
    const unsigned char* source, int source_h, int source_w,
    unsigned char* target, int count, int crop_h, int crop_w, const float* matrices)
{
    int u = blockIdx.x * blockDim.x + threadIdx.x;
    int v = blockIdx.y * blockDim.y + threadIdx.y;
    int n = blockIdx.z;
    if (u >= crop_w || v >= crop_h || n >= count) return;
    const float* m = matrices + 6 * n;
    float at_x = m[0] * u + m[1] * v + m[2];
    float at_y = m[3] * u + m[4] * v + m[5];
    float floor_x = floorf(at_x), floor_y = floorf(at_y);
    float fx = at_x - floor_x, fy = at_y - floor_y;
    int x0 = max(0, min((int)floor_x, source_w - 1)), y0 = max(0, min((int)floor_y, source_h - 1));
    int x1 = max(0, min((int)floor_x + 1, source_w - 1));
    int y1 = max(0, min((int)floor_y + 1, source_h - 1));
    unsigned char* out = target + ((n * crop_h + v) * crop_w + u) * CHANNELS;
    for (int c = 0; c < CHANNELS; ++c) {
        float upper = source[(y0 * source_w + x0) * CHANNELS + c] * (1.0f - fx)
                    + source[(y0 * source_w + x1) * CHANNELS + c] * fx;
        float lower = source[(y1 * source_w + x0) * CHANNELS + c] * (1.0f - fx)
                    + source[(y1 * source_w + x1) * CHANNELS + c] * fx;
        out[c] = rounded(upper * (1.0f - fy) + lower * fy);
    }
}
"""
