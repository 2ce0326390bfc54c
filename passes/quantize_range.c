/* What values were seen, and the range that 256 bytes best stand for. See quantize.h.
 *
 * Zero is always in the range and a byte stands exactly for it: paddings and relu mean zero. The ways that cut outliers off
 * try ranges whose ends lie at k/64 of those seen, each end by itself, on a histogram of 2048 bins. */
#include "quantize.h"

#include <math.h>

enum { STEPS = 64, STEPS_LEAST = 8 };

static void bound_stretch(struct quantize_point *point, const float *data, int64_t n, double *least, double *most)
{
    float low = (float)*least, high = (float)*most;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(data[i])) point->n_bad++;
        else if (data[i] < low) low = data[i];
        else if (data[i] > high) high = data[i];
    }
    *least = (double)low;
    *most = (double)high;
}

/* Elements that lie together and are of one channel. */
static int64_t stretch_of(const struct quantize_point *point, const struct tensor *values)
{
    int64_t n = 1;
    for (int i = point->axis + 1; i < values->type.rank; i++) n *= values->type.dim[i];
    return point->channels ? n : type_count(&values->type);
}

void point_bound(struct quantize_point *point, const struct tensor *values)
{
    int64_t n = type_count(&values->type), stretch = stretch_of(point, values);
    const float *data = values->data;
    point->n_seen += n;
    for (int64_t i = 0, c = 0; i < n; i += stretch, c = c + 1 < point->channels ? c + 1 : 0)
        if (point->channels) bound_stretch(point, data + i, stretch, &point->channel_low[c], &point->channel_high[c]);
        else bound_stretch(point, data, n, &point->low, &point->high);
}

static void count_stretch(struct quantize_point *point, const float *data, int64_t n, double factor)
{
    double width = point->high - point->low;
    if (!(width > 0)) return;
    double per = QUANTIZE_BINS / width;
    for (int64_t i = 0; i < n; i++) {
        int bin = (int)(((double)data[i] * factor - point->low) * per);
        point->bins[bin < 0 ? 0 : bin >= QUANTIZE_BINS ? QUANTIZE_BINS - 1 : bin] += 1;
    }
}

void point_count(struct quantize_point *point, const struct tensor *values)
{
    int64_t n = type_count(&values->type), stretch = stretch_of(point, values);
    const float *data = values->data;
    for (int64_t i = 0, c = 0; i < n; i += stretch, c = c + 1 < point->channels ? c + 1 : 0)
        count_stretch(point, data + i, stretch, point->factor ? (double)point->factor[c] : 1);
}

static double bin_middle(const struct quantize_point *point, int bin)
{
    return point->low + (bin + 0.5) * (point->high - point->low) / QUANTIZE_BINS;
}

/* Scale and zero point for low..high; the ends move so that zero is one of the steps. */
static void point_set(struct quantize_point *point, double low, double high)
{
    double step = (high - low) / 255;
    if (!(step > 1e-30)) step = 1.0 / 255;
    point->scale = (float)step;
    double zero = rint(-low / (double)point->scale);
    point->zero = zero < 0 ? 0 : zero > 255 ? 255 : (int)zero;
    point->least = -point->zero * (double)point->scale;
    point->most = (255 - point->zero) * (double)point->scale;
}

static double squared_error(const struct quantize_point *point)
{
    double error = 0, scale = (double)point->scale;
    for (int i = 0; i < QUANTIZE_BINS; i++) {
        if (point->bins[i] == 0) continue;
        double v = bin_middle(point, i), q = rint(v / scale) + point->zero;
        q = q < 0 ? 0 : q > 255 ? 255 : q;
        double d = v - (q - point->zero) * scale;
        error += point->bins[i] * d * d;
    }
    return error;
}

/* The byte that a bin's values become. */
static int bin_byte(const struct quantize_point *point, int bin)
{
    double q = rint(bin_middle(point, bin) / (double)point->scale) + point->zero;
    return q < 0 ? 0 : q > 255 ? 255 : (int)q;
}

/* Kullback and Leibler's divergence of the values, those outside cut to the ends, from what the bytes alone tell: a byte's
 * values spread evenly over the bins inside the range that had any. Source: Migacz, 8-bit Inference with TensorRT (2017). */
static double divergence(const struct quantize_point *point)
{
    double inside[256] = {0}, cut[QUANTIZE_BINS], total = 0, kept = 0, sum = 0;
    int filled[256] = {0}, first = -1, last = -1;
    for (int i = 0; i < QUANTIZE_BINS; i++) {
        double v = bin_middle(point, i);
        cut[i] = 0;
        if (v < point->least - (double)point->scale || v > point->most + (double)point->scale) continue;
        if (first < 0) first = i;
        last = i;
        cut[i] = point->bins[i];
        kept += point->bins[i];
        inside[bin_byte(point, i)] += point->bins[i];
        filled[bin_byte(point, i)] += point->bins[i] > 0;
    }
    if (first < 0 || !(kept > 0)) return INFINITY;
    for (int i = 0; i < first; i++) cut[first] += point->bins[i];
    for (int i = last + 1; i < QUANTIZE_BINS; i++) cut[last] += point->bins[i];
    for (int i = 0; i < QUANTIZE_BINS; i++) total += point->bins[i];
    for (int i = first; i <= last; i++) {
        int byte = bin_byte(point, i);
        if (cut[i] == 0) continue;
        double q = filled[byte] && point->bins[i] > 0 ? inside[byte] / filled[byte] / kept : 1e-9;
        sum += cut[i] / total * log(cut[i] / total / q);
    }
    return sum;
}

/* The best end, the other staying. */
static double search_end(struct quantize_point *point, double (*cost)(const struct quantize_point *), double low, double high, bool upper)
{
    double best = upper ? high : low, least = INFINITY, end = best;
    for (int k = STEPS; k >= STEPS_LEAST && end != 0; k--) {
        double part = end * k / STEPS;
        point_set(point, upper ? low : part, upper ? part : high);
        double c = cost(point);
        if (c < least) least = c, best = part;
    }
    return best;
}

static void choose_percentile(const struct quantize_point *point, double percentile, double *low, double *high)
{
    double total = 0, seen = 0;
    for (int i = 0; i < QUANTIZE_BINS; i++) total += point->bins[i];
    double most = total * (100 - percentile) / 100;
    int first = 0, last = QUANTIZE_BINS - 1;
    while (first < last && (seen += point->bins[first]) <= most) first++;
    for (seen = 0; last > first && (seen += point->bins[last]) <= most;) last--;
    double width = (point->high - point->low) / QUANTIZE_BINS;
    *low = fmin(0, point->low + first * width);
    *high = fmax(0, point->low + (last + 1) * width);
}

void point_choose(struct quantize_point *point, enum quantize_method method, double percentile)
{
    double low = point->low, high = point->high;
    if (low < high) {
        switch (method) {
        case QUANTIZE_BEST:
        case QUANTIZE_MINMAX: break;
        case QUANTIZE_PERCENTILE: choose_percentile(point, percentile, &low, &high); break;
        case QUANTIZE_MSE:
        case QUANTIZE_ENTROPY: {
            double (*cost)(const struct quantize_point *) = method == QUANTIZE_MSE ? squared_error : divergence;
            high = search_end(point, cost, low, high, true);
            low = search_end(point, cost, low, high, false);
            break;
        }
        }
    }
    point_set(point, low, high);
}
