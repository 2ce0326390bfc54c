/* What quantization loses, as --metric says, and the words of --metric and --range. See cmd_quantize.h.
 *
 * relative: the size of the difference of all outputs, by their size, over all samples. top1: the share of rows (along the last
 * axis) of the first output whose largest element is in another place. agreement: the share of samples with such a row. accuracy:
 * how many fewer of these rows have their largest element where the labels say; none where there are more.
 *
 * Few samples have a row in which anything changes places, and none among 32 says little about one in a hundred. So agreement
 * also counts the samples with a row whose largest element loses a quarter of its lead over the next: about four times as
 * many, as a lead is as likely to be small as to be four times as small. A quarter of these is the loss where that is more. By the
 * same lead layers are told apart (loss_risk): where the model is sure of its answer, errors cost nothing.
 */
#include "cmd_quantize.h"
#include "weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum metric { METRIC_RELATIVE, METRIC_TOP1, METRIC_AGREEMENT, METRIC_ACCURACY };

#define NEAR 0.25 /* of a lead lost: nearly another answer */
enum { SAMPLES_ENOUGH = 8, ROWS_ENOUGH = 256 };
static const char *const methods[QUANTIZE_RANGES] = {
    [QUANTIZE_MINMAX] = "minmax", [QUANTIZE_PERCENTILE] = "percentile", [QUANTIZE_MSE] = "mse", [QUANTIZE_ENTROPY] = "entropy", [QUANTIZE_BEST] = "best"};
static const char *const metrics[QUANTIZE_METRICS] = {[METRIC_RELATIVE] = "relative", [METRIC_TOP1] = "top1", [METRIC_AGREEMENT] = "agreement", [METRIC_ACCURACY] = "accuracy"};

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

bool quantize_needs_labels(int metric)
{
    return metric == METRIC_ACCURACY;
}

bool labels_read(struct session *session, const char *path, struct labels *labels)
{
    struct place place = {.path = path};
    const struct weights *file = weights_open(session->arena, path, session->diag, place);
    if (!file) return false;
    if (file->tensors.n != 1) return diag_error(session->diag, place, "holds %d arrays, labels are one", file->tensors.n);
    const struct tensor *t = &file->tensors.at[0].tensor;
    if (!dtype_is_int(t->type.dt))
        return diag_error(session->diag, place, "labels are integers, not %s", type_string(NULL, session->arena, &t->type));
    if (!type_count(&t->type)) return diag_error(session->diag, place, "holds no labels");
    *labels = (struct labels){.path = path, .n = type_count(&t->type)};
    labels->at = NEW_ARRAY(session->arena, int64_t, labels->n);
    for (int64_t i = 0; i < labels->n; i++) labels->at[i] = (int64_t)tensor_number(t, i);
    return true;
}

int64_t loss_rows(const struct tensor *t)
{
    int64_t row = t->type.rank ? t->type.dim[t->type.rank - 1] : 1;
    return row > 0 ? type_count(&t->type) / row : 0;
}

static int64_t largest_of(const struct tensor *t, int64_t from, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (tensor_number(t, from + i) > tensor_number(t, from + best)) best = i;
    return best;
}

/* How far the element at `at` of a row, which has others, is ahead of the largest of these. */
static double lead_of(const struct tensor *t, int64_t from, int64_t n, int64_t at)
{
    double next = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (i != at) next = fmax(next, tensor_number(t, from + i));
    return tensor_number(t, from + at) - next;
}

static void add_rows(struct loss *loss, const struct tensor *got, const struct tensor *want, const int64_t *labels)
{
    int64_t row = want->type.rank ? want->type.dim[want->type.rank - 1] : 1;
    bool differs = false, near = false;
    for (int64_t r = 0; r < loss_rows(want); r++) {
        int64_t here = largest_of(got, r * row, row), there = largest_of(want, r * row, row);
        double lead = row > 1 ? lead_of(want, r * row, row, there) : 1, lost = row > 1 ? lead - lead_of(got, r * row, row, there) : 0;
        double part = lost / fmax(lead, 1e-30);
        loss->rows += 1;
        loss->wrong += here != there;
        loss->risk += fmin(1, part * part);
        loss->right_got += labels && here == labels[r];
        loss->right_want += labels && there == labels[r];
        differs |= here != there;
        near |= part > NEAR;
    }
    loss->samples += 1;
    loss->samples_wrong += differs;
    loss->samples_near += near || differs;
}

void loss_add(struct loss *loss, const struct tensor *got, const struct tensor *want, bool first, const int64_t *labels)
{
    int64_t n = type_count(&want->type);
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_number(want, i), d = tensor_number(got, i) - v;
        loss->error += d * d;
        loss->signal += v * v;
    }
    if (first) add_rows(loss, got, want, labels);
}

double loss_error(const struct loss *loss)
{
    double part = sqrt(loss->error / fmax(loss->signal, 1e-300));
    return isnan(part) ? (double)INFINITY : part;
}

double loss_risk(const struct loss *loss, int metric)
{
    return metric == METRIC_RELATIVE ? loss_error(loss) : sqrt(loss->risk / fmax(loss->rows, 1));
}

bool loss_is_enough(const struct loss *loss, int metric)
{
    return loss->samples >= SAMPLES_ENOUGH && (metric == METRIC_RELATIVE || loss->rows >= ROWS_ENOUGH);
}

double loss_number(const struct loss *loss, int metric)
{
    double part = loss_error(loss), rows = fmax(loss->rows, 1);
    if (isinf(part)) return part;
    if (metric == METRIC_ACCURACY) return fmax(0, loss->right_want - loss->right_got) / rows;
    if (metric == METRIC_AGREEMENT) return fmax(loss->samples_wrong, NEAR * loss->samples_near) / fmax(loss->samples, 1);
    return metric == METRIC_TOP1 ? loss->wrong / rows : part;
}
