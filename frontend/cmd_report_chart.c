/* The report's charts, as inline SVG: a roofline and the arena over a run. What the pointer stands on is named by <title>,
 * so no script is needed; a dot of the roofline links to its row. Colours are those of report.css. */
#include "cmd_report.h"

#include <math.h>

enum { WIDTH = 960, HEIGHT = 420, LEFT = 64, RIGHT = 20, TOP = 22, BOTTOM = 44 };

struct scale { /* logarithms of what the plot shows */
    double x_lo, x_hi, y_lo, y_hi;
};

static double at_x(const struct scale *scale, double intensity)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (log10(intensity) - scale->x_lo) / (scale->x_hi - scale->x_lo);
}

static double at_y(const struct scale *scale, double rate)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (log10(rate) - scale->y_lo) / (scale->y_hi - scale->y_lo);
}

/* Whether a logarithmic plot has a place for it. */
static bool has_place(const struct report_call *call)
{
    return call->flops > 0 && call->bytes > 0 && report_seconds(call) > 0;
}

static struct scale scale_of(const struct report *report)
{
    struct scale scale = {.x_lo = -1, .x_hi = 2, .y_lo = log10(report->machine.flops) - 2, .y_hi = log10(report->machine.flops) + 0.25};
    for (int i = 0; i < report->n_calls; i++) {
        const struct report_call *call = &report->calls[i];
        if (!has_place(call)) continue;
        double x = log10(call->flops / call->bytes), y = log10(call->flops / report_seconds(call));
        if (x - 0.1 < scale.x_lo) scale.x_lo = x - 0.1;
        if (x + 0.1 > scale.x_hi) scale.x_hi = x + 0.1;
        if (y - 0.1 < scale.y_lo) scale.y_lo = y - 0.1;
        if (y + 0.1 > scale.y_hi) scale.y_hi = y + 0.1;
    }
    return scale;
}

static void put_grid(const struct scale *scale, struct text *out)
{
    for (int i = (int)ceil(scale->x_lo); i <= scale->x_hi; i++) {
        double x = at_x(scale, pow(10, i));
        text_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", x, TOP, x, HEIGHT - BOTTOM);
        text_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, HEIGHT - BOTTOM + 17, pow(10, i));
    }
    for (int i = (int)ceil(scale->y_lo); i <= scale->y_hi; i++) {
        double y = at_y(scale, pow(10, i));
        text_printf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, y, WIDTH - RIGHT, y);
        text_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 8, y + 4, pow(10, i - 9));
    }
    text_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">FLOP per byte moved</text>", WIDTH - RIGHT, HEIGHT - 10);
    text_printf(out, "<text x=\"%d\" y=\"%d\">GFLOP/s</text>\n", 8, TOP - 7);
}

/* The peak, and under it what each level of memory can feed. */
static void put_roofs(const struct report *report, const struct scale *scale, struct text *out)
{
    const struct machine *machine = &report->machine;
    double peak = machine->flops, lowest = pow(10, scale->y_lo), right = pow(10, scale->x_hi), left = pow(10, scale->x_lo);
    text_printf(out, "<line class=\"roof\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, at_y(scale, peak),
                WIDTH - RIGHT, at_y(scale, peak));
    text_printf(out, "<text class=\"roof\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", WIDTH - RIGHT - 4, at_y(scale, peak) - 6);
    text_printf(out, "multiply-adds %.0f GFLOP/s</text>\n", 1e-9 * peak);
    for (int i = 0; i < machine->n_levels; i++) {
        double rate = machine->level[i].rate, from = lowest / rate, to = peak / rate;
        if (from < left) from = left;
        if (to > right) to = right;
        if (to <= from) continue;
        double x1 = at_x(scale, from), y1 = at_y(scale, from * rate), x2 = at_x(scale, to), y2 = at_y(scale, to * rate);
        double f = 0.12 + 0.16 * i, angle = atan2(y2 - y1, x2 - x1) * 180 / 3.14159265358979323846;
        text_printf(out, "<line class=\"roof far\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x1, y1, x2, y2);
        text_printf(out, "<text class=\"roof\" transform=\"translate(%.1f %.1f) rotate(%.1f)\">%s %.0f GB/s</text>\n",
                    x1 + f * (x2 - x1) - 4, y1 + f * (y2 - y1) - 6, angle, machine->level[i].name, 1e-9 * rate);
    }
}

static void put_dot(const struct report *report, const struct scale *scale, const struct report_call *call, struct text *out)
{
    double seconds = report_seconds(call), whole = report->profile ? report->measured : report->predicted;
    text_printf(out, "<a href=\"#call-%d\"><circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>", call->number,
                bound_name(call->bound), at_x(scale, call->flops / call->bytes), at_y(scale, call->flops / seconds),
                3.5 + 14 * sqrt(seconds / whole));
    text_printf(out, "call %d ", call->number);
    html_text(out, call->kernel);
    text_add(out, "\n");
    html_text(out, call->layers);
    text_add(out, "\n");
    seconds_text(out, seconds);
    text_printf(out, ", %.1f GFLOP/s, %.3g FLOP per byte; bound by %s</title></circle></a>\n", 1e-9 * call->flops / seconds,
                call->flops / call->bytes, bound_name(call->bound));
}

void chart_roofline(const struct report *report, struct text *out)
{
    struct scale scale = scale_of(report);
    text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"roofline of the kernel calls\">\n", WIDTH, HEIGHT);
    put_grid(&scale, out);
    put_roofs(report, &scale, out);
    for (int i = 0; i < report->n_calls; i++) /* the short ones on top */
        if (has_place(report->by_time[i])) put_dot(report, &scale, report->by_time[i], out);
    text_add(out, "</svg>\n");
}

/* ---- the arena: calls to the right, addresses upwards ---- */

static double memory_y(const struct report *report, double bytes)
{
    double most = report->totals.arena_bytes > 0 ? (double)report->totals.arena_bytes : 1;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bytes / most;
}

static double memory_x(const struct report *report, double call)
{
    return LEFT + 10 + (WIDTH - LEFT - 10 - RIGHT) * call / (report->n_calls > 0 ? report->n_calls : 1);
}

static void put_life(const struct report *report, const struct report_buffer *b, struct text *out)
{
    double x = memory_x(report, b->first), y = memory_y(report, (double)(b->offset_bytes + b->n_bytes));
    text_printf(out, "<rect class=\"life%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", b->at_peak ? " top" : "",
                x, y, memory_x(report, b->last + 1) - x, memory_y(report, (double)b->offset_bytes) - y);
    html_text(out, b->buf->name);
    text_add(out, " ");
    html_text(out, type_string(report->prog->dims, out->arena, &b->buf->type));
    text_add(out, "\n");
    amount_text(out, (double)b->n_bytes, "B");
    text_printf(out, ", calls %d to %d</title></rect>\n", b->first, b->last);
}

void chart_memory(const struct report *report, struct text *out)
{
    double peak = memory_x(report, report->peak_call + 0.5);
    text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the arena over the calls\">\n", WIDTH, HEIGHT);
    for (int i = 0; i <= 4; i++) {
        double bytes = 0.25 * i * (double)report->totals.arena_bytes, y = memory_y(report, bytes);
        text_printf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT + 10, y, WIDTH - RIGHT, y);
        text_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT + 4, y + 4);
        amount_text(out, bytes, "B");
        text_add(out, "</text>\n");
    }
    for (int i = 0; i < report->n_buffers; i++) put_life(report, &report->buffers[i], out);
    text_printf(out, "<line class=\"peak\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", peak, TOP, peak, HEIGHT - BOTTOM);
    text_printf(out, "<text class=\"peak\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">peak, call %d</text>\n", peak, TOP - 7,
                2 * report->peak_call > report->n_calls ? "end" : "start", report->peak_call);
    int step = report->n_calls / 10 > 0 ? report->n_calls / 10 : 1;
    for (int i = 0; i < report->n_calls; i += step)
        text_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>", memory_x(report, i + 0.5), HEIGHT - BOTTOM + 17, i);
    text_printf(out, "\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">call</text></svg>\n", WIDTH - RIGHT, HEIGHT - 10);
}
