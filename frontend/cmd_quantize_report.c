/* What `tenon quantize` did, layer by layer: a table on the terminal, a page, or data. A function of the model, the samples
 * and the options alone.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_quantize.h"
#include "cmd_report.h"
#include "embedded_cmd.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const struct quantize_point *input_of(const struct quantize_result *result, const struct quantize_layer *layer)
{
    return layer->input >= 0 && !result->narrowing ? &result->plan->points.at[layer->input] : NULL;
}

static const struct quantize_point *output_of(const struct quantize_result *result, const struct quantize_layer *layer)
{
    bool wanted = layer->output >= 0 && !result->narrowing && result->plan->points.at[layer->output].wanted;
    return wanted ? &result->plan->points.at[layer->output] : NULL;
}

/* What the layer computes with. */
static const char *precision_of(const struct quantize_result *result, const struct quantize_layer *layer)
{
    if (!layer_is_bytes(layer)) return "float";
    if (result->narrowing && result->narrowing->bits == 16) return dtype_name(result->narrowing->half);
    return !result->narrowing ? "bytes" : result->narrowing->bits == 8 ? "int8" : "int4";
}

static int bytes_layers(const struct quantize_result *result)
{
    int n = 0;
    for (int i = 0; i < result->plan->layers.n; i++) n += layer_is_bytes(&result->plan->layers.at[i]);
    return n;
}

/* Inputs of layers whose channels were evened out. */
static int even_inputs(const struct quantize_result *result)
{
    int n = 0;
    for (int i = 0; i < result->plan->points.n; i++) n += result->plan->points.at[i].wanted && result->plan->points.at[i].factor != NULL;
    return n;
}

/* "percentile:99.9", as --range takes it. */
static const char *method_text(struct arena *arena, const struct options *options)
{
    const char *name = quantize_method_name(options->range);
    return options->range == QUANTIZE_PERCENTILE ? arena_printf(arena, "%s:%g", name, options->percentile) : name;
}

static const char *clip(struct arena *arena, const char *s, size_t most)
{
    size_t n = strlen(s);
    return n <= most ? s : arena_printf(arena, "..%s", s + (n - most + 2));
}

static void print_layer(struct arena *arena, const struct quantize_result *result, const struct quantize_layer *layer)
{
    const struct quantize_point *x = input_of(result, layer);
    printf("%-30s %-7s %-6s", clip(arena, layer->name, 30), op_row(layer->node->op)->name, precision_of(result, layer));
    if (x) printf(" %10.4g %10.4g %11.4g %4d %9.4f", x->least, x->most, (double)x->scale, x->zero, layer_loss(layer));
    else printf(" %10s %10s %11s %4s %9s", "", "", "", "", "");
    if (layer->cycles_bytes > 0 && layer_is_bytes(layer)) printf(" %5.2f", layer->cycles_float / layer->cycles_bytes);
    else if (layer->why_float) printf(" %5s", "");
    printf("%s%s\n", layer->why_float ? "  " : "", layer->why_float ? layer->why_float : "");
}

/* --weights: what its weights lose, and how many bytes they take. */
static void print_narrowed(struct session *session, const struct quantize_result *result)
{
    const struct quantize_plan *plan = result->plan;
    const struct quantize_narrowing *narrowing = result->narrowing;
    printf("%-30s %-7s %-6s %12s %9s  %s\n", "layer", "", "", "weights", "loss", "why float");
    for (int i = 0; i < plan->layers.n; i++) {
        const struct quantize_layer *layer = &plan->layers.at[i];
        printf("%-30s %-7s %-6s %12lld", clip(session->arena, layer->name, 30), op_row(layer->node->op)->name, precision_of(result, layer),
               layer->weights ? (long long)type_count(&layer->weights->type) : 0);
        if (layer_is_bytes(layer)) printf(" %9.4f\n", layer_loss(layer));
        else printf(" %9s  %s\n", "", layer->why_float);
    }
    printf("\n%s: %d of %d layers with weights of %d bits", result->model, bytes_layers(result), plan->layers.n, narrowing->bits);
    bool scaled = narrowing->bits < 16;
    if (!scaled) printf(", %s", dtype_name(narrowing->half));
    else if (narrowing->block) printf(", a scale for each %lld", (long long)narrowing->block);
    else printf(", a scale for each output");
    double bytes = 0, as_float = 0;
    for (int i = 0; i < plan->layers.n; i++) {
        const struct quantize_narrowed *layer = &narrowing->layers[i];
        double n = layer_is_bytes(&plan->layers.at[i]) ? plan->layers.at[i].channels : 0;
        bytes += n * (double)layer->parts * ((double)(layer->part * narrowing->bits) / 8 + (scaled ? sizeof(float) : 0));
        if (n > 0) as_float += (double)(type_count(&plan->layers.at[i].weights->type)) * sizeof(float);
    }
    printf(": %.0f bytes compiled, were %.0f; loss of a layer: of its weights\n", bytes, as_float);
}

static void print_loss(const struct quantize_result *result)
{
    const struct options *options = result->options;
    printf("loss (%s) %.4g on %d of %d samples, bound %.4g", quantize_metric_name(options->metric), result->loss, result->n_held_back, result->n_samples, result->bound);
    if (result->loss_all > result->bound) printf("; %.4g with every layer in %s", result->loss_all, !result->narrowing ? "bytes" : result->narrowing->bits < 16 ? "integers" : "16 bits");
    const struct loss *measured = &result->measured;
    if (options->labels) printf("; %.4g of the rows right, %.4g in floats", measured->right_got / measured->rows, measured->right_want / measured->rows);
    printf("%s\n", result->same_samples ? "; one sample gave the ranges and the loss: more are better" : "");
}

void quantize_print(struct session *session, const struct quantize_result *result)
{
    if (result->narrowing) {
        print_narrowed(session, result);
        if (result->n_samples) print_loss(result);
        return;
    }
    const struct quantize_plan *plan = result->plan;
    const struct options *options = result->options;
    printf("%-30s %-7s %-6s %10s %10s %11s %4s %9s %5s  %s\n", "layer", "", "", "least", "most", "scale", "zero", "loss", "gain", "why float");
    for (int i = 0; i < plan->layers.n; i++) print_layer(session->arena, result, &plan->layers.at[i]);
    int n_even = even_inputs(result);
    const char *even = n_even ? arena_printf(session->arena, ", inputs with channels evened out: %d", n_even) : "";
    printf("\n%s: %d of %d layers in bytes, ranges by %s%s; constants %lld bytes, were %lld\n", result->model, bytes_layers(result), plan->layers.n,
           method_text(session->arena, options), even, (long long)result->weight_bytes, (long long)result->weight_bytes_float);
    if (result->cycles_float > 0) printf("on %s, by the cost model, %.2f times as fast as in floats\n", result->cpu->name, result->cycles_float / result->cycles);
    print_loss(result);
}

/* ---- JSON ---- */

static void put_point(struct text *json, const char *key, const struct quantize_point *point)
{
    text_printf(json, ", \"%s\": ", key);
    if (!point) {
        text_add(json, "null");
        return;
    }
    text_add(json, "{\"seen\": [");
    json_number(json, point->low);
    text_add(json, ", ");
    json_number(json, point->high);
    text_add(json, "], \"range\": [");
    json_number(json, point->least);
    text_add(json, ", ");
    json_number(json, point->most);
    text_add(json, "], \"scale\": ");
    text_double(json, (double)point->scale, true);
    text_printf(json, ", \"zero\": %d, \"channels_even\": %s}", point->zero, point->factor ? "true" : "false");
}

/* By the cost model, of a run; 0: not known. */
static void put_cycles(struct text *json, double in_floats, double now)
{
    text_add(json, ", \"cycles_float\": ");
    json_number(json, in_floats > 0 ? rint(in_floats) : (double)NAN);
    text_add(json, ", \"cycles\": ");
    json_number(json, now > 0 ? rint(now) : (double)NAN);
}

static void put_json(const struct quantize_result *result, struct text *json)
{
    text_add(json, "{\"model\": ");
    json_string(json, result->model);
    if (result->narrowing) text_printf(json, ", \"weight_bits\": %d, \"block\": %lld", result->narrowing->bits, (long long)result->narrowing->block);
    text_printf(json, ", \"range\": \"%s\", \"metric\": \"%s\", \"loss\": ", method_text(json->arena, result->options), quantize_metric_name(result->options->metric));
    json_number(json, result->loss);
    text_add(json, ", \"loss_all_bytes\": ");
    json_number(json, result->loss_all);
    text_add(json, ", \"max_loss\": ");
    json_number(json, result->bound);
    if (result->options->labels) {
        text_add(json, ", \"accuracy\": ");
        json_number(json, result->measured.right_got / result->measured.rows);
        text_add(json, ", \"accuracy_float\": ");
        json_number(json, result->measured.right_want / result->measured.rows);
    }
    put_cycles(json, result->cycles_float, result->cycles);
    if (result->cycles_float > 0) text_printf(json, ", \"cpu\": \"%s\"", result->cpu->name);
    text_printf(json, ", \"samples\": %d, \"held_back\": %d, \"constant_bytes\": %lld, \"constant_bytes_float\": %lld, \"layers\": [", result->n_samples, result->n_held_back,
                (long long)result->weight_bytes, (long long)result->weight_bytes_float);
    for (int i = 0; i < result->plan->layers.n; i++) {
        const struct quantize_layer *layer = &result->plan->layers.at[i];
        text_printf(json, "%s\n  {\"name\": ", i ? "," : "");
        json_string(json, layer->name);
        text_printf(json, ", \"operator\": \"%s\", \"precision\": \"%s\", \"multiply_adds\": %.0f, \"loss\": ", op_row(layer->node->op)->name,
                    precision_of(result, layer), layer->work);
        json_number(json, layer_loss(layer));
        text_add(json, ", \"loss_alone\": ");
        if (layer->alone >= 0) json_number(json, layer->alone);
        else text_add(json, "null");
        put_cycles(json, layer->cycles_float, layer_is_bytes(layer) ? layer->cycles_bytes : 0);
        put_point(json, "input", input_of(result, layer));
        put_point(json, "output", output_of(result, layer));
        text_add(json, ", \"why_float\": ");
        if (layer->why_float) json_string(json, layer->why_float);
        else text_add(json, "null");
        text_add(json, "}");
    }
    text_add(json, "\n]}\n");
}

/* ---- HTML ---- */

static void put_tile(struct text *out, const char *number, const char *what)
{
    text_printf(out, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", number, what);
}

static void put_row(const struct quantize_result *result, const struct quantize_layer *layer, struct text *out)
{
    const struct quantize_point *x = input_of(result, layer);
    text_add(out, "<tr><td>");
    html_text(out, layer->name);
    text_printf(out, "</td><td>%s</td><td>%s</td><td>%.3g</td>", op_row(layer->node->op)->name, precision_of(result, layer), layer->work);
    if (x)
        text_printf(out, "<td>%.4g to %.4g</td><td>%.4g to %.4g</td><td>%.4g</td><td>%d</td><td>%.4f</td>", x->low, x->high, x->least, x->most, (double)x->scale, x->zero,
                    layer_loss(layer));
    else text_printf(out, "<td></td><td></td><td></td><td></td><td>%s</td>", layer_is_bytes(layer) ? arena_printf(out->arena, "%.4f", layer_loss(layer)) : "");
    bool priced = layer->cycles_bytes > 0 && layer_is_bytes(layer);
    text_printf(out, "<td>%s</td>", priced ? arena_printf(out->arena, "%.2f", layer->cycles_float / layer->cycles_bytes) : "");
    text_printf(out, "<td>%s</td></tr>\n", layer->why_float ? layer->why_float : "");
}

static void put_html(const struct quantize_result *result, struct text *out)
{
    struct arena *arena = out->arena;
    const char *what = result->narrowing ? arena_printf(arena, " with weights of %d bits", result->narrowing->bits) : " in bytes";
    text_add(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    html_text(out, result->model);
    text_add(out, what);
    text_add(out, "</title><style>\n");
    text_add_n(out, frontend_report_css, frontend_report_css_bytes);
    text_add(out, "</style></head><body>\n<h1>");
    html_text(out, result->model);
    text_add(out, what);
    text_add(out, "</h1>\n<div class=\"tiles\">\n");
    put_tile(out, arena_printf(arena, "%.4g", result->loss), arena_printf(arena, "loss (%s), bound %.4g", quantize_metric_name(result->options->metric), result->bound));
    put_tile(out, arena_printf(arena, "%.4g", result->loss_all), "loss with every layer so");
    put_tile(out, arena_printf(arena, "%d of %d", bytes_layers(result), result->plan->layers.n), "layers so");
    put_tile(out, arena_printf(arena, "%d", result->n_samples), arena_printf(arena, "samples, %d for the loss", result->n_held_back));
    if (result->cycles_float > 0)
        put_tile(out, arena_printf(arena, "%.2f", result->cycles_float / result->cycles), arena_printf(arena, "times as fast on %s, by the cost model", result->cpu->name));
    put_tile(out, arena_printf(arena, "%.2f", (double)result->weight_bytes / (double)(result->weight_bytes_float ? result->weight_bytes_float : 1)), "of the float constants' bytes");
    text_add(out, "</div>\n<table><thead><tr><th>layer</th><th>operator</th><th>precision</th><th>multiply-adds</th><th>seen</th><th>range</th><th>scale</th><th>zero</th>"
                  "<th>loss</th><th>gain</th><th>why float</th></tr></thead><tbody>\n");
    for (int i = 0; i < result->plan->layers.n; i++) put_row(result, &result->plan->layers.at[i], out);
    text_add(out, "</tbody></table>\n</body></html>\n");
}

bool quantize_report(struct session *session, const struct quantize_result *result, const char *path)
{
    struct text text = {.arena = session->arena};
    if (has_suffix(path, ".json")) put_json(result, &text);
    else put_html(result, &text);
    FILE *out = fopen(path, "w");
    bool ok = out && fwrite(text_string(&text), 1, text.n, out) == text.n;
    if (out) ok = !fclose(out) && ok;
    return ok || diag_error(session->diag, (struct place){.path = path}, "cannot be written: %s", strerror(errno));
}
