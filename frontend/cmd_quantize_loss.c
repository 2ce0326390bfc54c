/* What quantization loses, as --metric says, and the words of --metric and --range. See cmd_quantize.h.
 *
 * relative: the size of the difference of all outputs, by their size, over all samples. top1: the share of rows (along the last
 * axis) of the first output whose largest element is in another place.
 */
#include "cmd_quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum metric { METRIC_RELATIVE, METRIC_TOP1 };
static const char *const methods[QUANTIZE_RANGES] = {
    [QUANTIZE_MINMAX] = "minmax", [QUANTIZE_PERCENTILE] = "percentile", [QUANTIZE_MSE] = "mse", [QUANTIZE_ENTROPY] = "entropy", [QUANTIZE_BEST] = "best"};
static const char *const metrics[QUANTIZE_METRICS] = {[METRIC_RELATIVE] = "relative", [METRIC_TOP1] = "top1"};

const char *quantize_method_name(int method)
{
    return methods[method];
}

const char *quantize_metric_name(int metric)
{
    return metrics[metric];
}

int quantize_method_from(const char *s, double *percentile)
{
    const char *colon = strchr(s, ':');
    size_t n = colon ? (size_t)(colon - s) : strlen(s);
    for (int i = 0; i < QUANTIZE_RANGES; i++) {
        if (strlen(methods[i]) != n || strncmp(s, methods[i], n) != 0) continue;
        if (!colon) return i;
        char *end;
        *percentile = strtod(colon + 1, &end);
        return i == QUANTIZE_PERCENTILE && end != colon + 1 && !*end && *percentile >= 50 && *percentile <= 100 ? i : -1;
    }
    return -1;
}

int quantize_metric_from(const char *s)
{
    for (int i = 0; i < QUANTIZE_METRICS; i++)
        if (!strcmp(s, metrics[i])) return i;
    return -1;
}

static int64_t largest_of(const struct tensor *t, int64_t from, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (tensor_number(t, from + i) > tensor_number(t, from + best)) best = i;
    return best;
}

void loss_add(struct loss *loss, const struct tensor *got, const struct tensor *want, bool first)
{
    int64_t n = type_count(&want->type);
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_number(want, i), d = tensor_number(got, i) - v;
        loss->error += d * d;
        loss->signal += v * v;
    }
    int64_t row = want->type.rank ? want->type.dim[want->type.rank - 1] : 1;
    for (int64_t i = 0; first && row > 0 && i < n; i += row) {
        loss->rows += 1;
        loss->wrong += largest_of(got, i, row) != largest_of(want, i, row);
    }
}

double loss_number(const struct loss *loss, int metric)
{
    double part = metric == METRIC_TOP1 ? loss->wrong / fmax(loss->rows, 1) : sqrt(loss->error / fmax(loss->signal, 1e-300));
    return isnan(part) ? (double)INFINITY : part;
}
