/* The report as one HTML page: style inside (report.css), charts as inline SVG (cmd_report_chart.c), no script and nothing
 * from elsewhere, light or dark as the reader's system is. Every name from a file goes through html_text.
 *
 * Each call has one row in the table of times, with the id call-N and its kernel in data-kernel, to which the roofline's
 * dots link, and one in the table of decisions.
 */
#include "cmd_report.h"
#include "embedded_cmd.h"

#include <string.h>

void html_text(struct text *out, const char *s)
{
    for (int n; *s; s += n ? n : 1) {
        unsigned char c = (unsigned char)*s;
        n = utf8_bytes(s);
        bool is_control = (c < 32 && c != '\n') || c == 127 || (c == 0xc2 && (unsigned char)s[1] < 0xa0);
        if (n == 0 || is_control) text_add(out, "\357\277\275");
        else if (c == '&') text_add(out, "&amp;");
        else if (c == '<') text_add(out, "&lt;");
        else if (c == '>') text_add(out, "&gt;");
        else if (c == '"') text_add(out, "&quot;");
        else if (c == '\'') text_add(out, "&#39;");
        else text_add_n(out, s, (size_t)n);
    }
}

/* ---- totals ---- */

static void tile_open(struct text *out)
{
    text_add(out, "<div class=\"tile\"><b>");
}

static void tile_close(struct text *out, const char *what)
{
    text_printf(out, "</b><span>%s</span></div>\n", what);
}

static void amount_tile(struct text *out, double v, const char *unit, const char *what)
{
    tile_open(out);
    amount_text(out, v, unit);
    tile_close(out, what);
}

static void seconds_tile(struct text *out, double seconds, const char *what)
{
    tile_open(out);
    seconds_text(out, seconds);
    tile_close(out, what);
}

static void put_totals(const struct report *report, struct text *out)
{
    struct arena *arena = out->arena;
    text_add(out, "<div class=\"tiles\">\n");
    if (report->profile) {
        seconds_tile(out, report->median, arena_printf(arena, "a run, the median of %d", report->runs));
        tile_open(out);
        text_printf(out, "%.1f %%", 100 * report->flops / report->median / report->machine.flops);
        tile_close(out, "of the machine's multiply-adds");
        amount_tile(out, report->flops / report->median, "FLOP/s", "reached");
        if (report->direct_flops > report->flops)
            amount_tile(out, report->direct_flops / report->median, "FLOP/s", "effective, by the operators' definitions");
    }
    seconds_tile(out, report->predicted, "by the roofline: the least to hope for");
    amount_tile(out, report->flops, "FLOP", "a run");
    amount_tile(out, report->bytes, "B", "moved in a run");
    tile_open(out);
    text_printf(out, "%d", report->n_calls);
    tile_close(out, arena_printf(arena, "calls of %d kernels", report->prog->kernels.n));
    amount_tile(out, (double)report->totals.weight_bytes, "B", "weights");
    amount_tile(out, (double)report->totals.arena_bytes, "B", "arena");
    text_add(out, "</div>\n");
}

/* How the time divides among what bounds the calls. */
static void put_split(const struct report *report, struct text *out)
{
    const struct profile *profile = report->profile;
    double part[BOUND_COUNT] = {0}, between = profile ? profile->rest.median : 0;
    if (profile && report->threads > 1) { /* whoever waits longest may wait for a call of another: what calls leave */
        double left = profile->median - report->measured;
        between += profile->wait.median;
        between = left < 0 ? 0 : left < between ? left : between;
    }
    double sum = between;
    for (int i = 0; i < report->n_calls; i++) {
        part[report->calls[i].bound] += report_seconds(&report->calls[i]);
        sum += report_seconds(&report->calls[i]);
    }
    if (sum <= 0) return;
    text_add(out, "<div class=\"split\">");
    for (int i = 0; i < BOUND_COUNT; i++)
        text_printf(out, "<i class=\"%s\" style=\"width:%.2f%%\"></i>", bound_name((enum bound)i), 100 * part[i] / sum);
    text_printf(out, "<i class=\"between\" style=\"width:%.2f%%\"></i></div>\n<div class=\"legend\">", 100 * between / sum);
    for (int i = 0; i < BOUND_COUNT; i++)
        text_printf(out, "<span><i class=\"%s\"></i>%s %.1f %%</span>", bound_name((enum bound)i), bound_name((enum bound)i),
                    100 * part[i] / sum);
    if (profile)
        text_printf(out, "<span><i class=\"between\"></i>%s %.1f %%</span>",
                    report->threads > 1 ? "waiting for one another, between calls" : "between calls", 100 * between / sum);
    text_add(out, "</div>\n");
}

static void put_machine(const struct report *report, struct text *out)
{
    const struct machine *machine = &report->machine;
    text_printf(out, "<p class=\"note\">Measured on the machine that made this page: %.0f GFLOP/s of multiply-adds by one thread",
                1e-9 * machine->flops_alone);
    if (machine->threads > 1) text_printf(out, ", %.0f by %d", 1e-9 * machine->flops, machine->threads);
    for (int i = 0; i < machine->n_levels; i++) {
        text_printf(out, "%s %.0f GB/s from %s", i ? "," : "; reads of", 1e-9 * machine->level[i].rate, machine->level[i].name);
        if (machine->level[i].bytes == INT64_MAX) continue;
        text_add(out, " (");
        amount_text(out, (double)machine->level[i].bytes, "B");
        text_add(out, ")");
    }
    text_add(out, ".</p>\n");
}

/* ---- calls by time ---- */

static void put_name(const struct report_call *call, struct text *out)
{
    text_add(out, "<td class=\"name\">");
    html_text(out, *call->layers ? call->layers : call->kernel);
    text_add(out, "<small><code>");
    html_text(out, call->kernel);
    text_add(out, "</code></small></td>");
}

static void put_amount(struct text *out, double v, const char *unit)
{
    text_add(out, "<td>");
    if (v > 0) amount_text(out, v, unit);
    text_add(out, "</td>");
}

static void put_time(struct text *out, double seconds)
{
    text_add(out, "<td>");
    seconds_text(out, seconds);
    text_add(out, "</td>");
}

static void put_rate(struct text *out, double flops, double seconds)
{
    if (flops > 0 && seconds > 0) text_printf(out, "<td>%.1f</td>", 1e-9 * flops / seconds);
    else text_add(out, "<td></td>");
}

/* Whether some call is made more than once in a run, or not always. */
static bool has_loops(const struct report *report)
{
    for (int i = 0; i < report->n_calls; i++)
        if (report->calls[i].times != 1) return true;
    return false;
}

static void put_row(const struct report *report, const struct report_call *call, struct text *out)
{
    double seconds = report_seconds(call), whole = report->profile ? report->measured : report->predicted;
    double share = whole > 0 ? 100 * seconds / whole : 0, longest = report_seconds(report->by_time[0]);
    text_printf(out, "<tr id=\"call-%d\" data-kernel=\"", call->number);
    html_text(out, call->kernel);
    text_printf(out, "\"><td>%d</td>", call->number);
    put_name(call, out);
    if (report->profile) put_time(out, call->measured);
    text_printf(out, "<td class=\"share\" style=\"background-size:%.1f%% 100%%\">%.1f %%</td>",
                longest > 0 ? 100 * seconds / longest : 0, share);
    put_time(out, call->predicted);
    text_printf(out, "<td class=\"left %s\">%s</td>", bound_name(call->bound), bound_name(call->bound));
    put_rate(out, call->flops, seconds);
    if (report->direct_flops > report->flops) put_rate(out, call->direct_flops, seconds);
    if (call->flops > 0 && seconds > 0) text_printf(out, "<td>%.1f %%</td>", 100 * call->flops / seconds / report->machine.flops);
    else text_add(out, "<td></td>");
    put_amount(out, call->flops, "FLOP");
    put_amount(out, call->bytes, "B");
    if (call->flops > 0 && call->bytes > 0) text_printf(out, "<td>%.3g</td>", call->flops / call->bytes);
    else text_add(out, "<td></td>");
    if (has_loops(report)) text_printf(out, "<td>%.4g</td>", call->times);
    text_add(out, "</tr>\n");
}

static void put_calls(const struct report *report, struct text *out)
{
    bool effective = report->direct_flops > report->flops;
    text_printf(out, "<h2>Kernel calls, the longest first</h2>\n<p class=\"note\">%s%sRoofline: the "
                     "operations at the peak, or the bytes from the caches and memory they are in, whichever takes longer. "
                     "Overhead: neither explains a quarter of the time, which goes into other instructions, latencies or the "
                     "call itself.</p>\n",
                report->threads > 1 ? "Time: of the worker that takes longest. " : "",
                effective ? "Effective: by the operations of the operator's definition. " : "");
    text_add(out, "<div class=\"wide\"><table class=\"calls\"><thead><tr><th>call</th><th class=\"left\">layers, kernel</th>");
    if (report->profile) text_add(out, "<th>time</th>");
    text_printf(out, "<th>share</th><th>roofline</th><th class=\"left\">bound by</th><th>GFLOP/s</th>%s<th>of peak</th>"
                     "<th>operations</th><th>moved</th><th>FLOP/B</th>%s</tr></thead>\n<tbody>\n",
                effective ? "<th>effective</th>" : "", has_loops(report) ? "<th>times</th>" : "");
    for (int i = 0; i < report->n_calls; i++) put_row(report, report->by_time[i], out);
    text_add(out, "</tbody></table></div>\n");
}

/* ---- memory, decisions ---- */

static void put_memory(const struct report *report, struct text *out)
{
    if (report->peak_call < 0 || report->n_buffers == 0) return;
    text_add(out, "<h2>Memory</h2>\n<p>The arena holds ");
    amount_text(out, (double)report->totals.arena_bytes, "B");
    text_printf(out, "; at its peak, in call %d, ", report->peak_call);
    amount_text(out, (double)report->calls[report->peak_call].live_bytes, "B");
    text_add(out, " of it are alive, in the buffers below. Each rectangle is a buffer: its addresses, from the call that "
                  "first writes it to the last that reads it.</p>\n<figure>\n");
    chart_memory(report, out);
    text_add(out, "</figure>\n<div class=\"wide\"><table><thead><tr><th class=\"left\">buffer at the peak</th>"
                  "<th class=\"left\">type</th><th>bytes</th><th>at</th><th>calls</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < report->n_buffers; i++) {
        const struct report_buffer *b = &report->buffers[i];
        if (!b->at_peak) continue;
        text_add(out, "<tr><td class=\"name\"><code>");
        html_text(out, b->buf->name);
        text_add(out, "</code></td><td class=\"left\">");
        html_text(out, type_string(report->prog->dims, out->arena, &b->buf->type));
        text_add(out, "</td>");
        put_amount(out, (double)b->n_bytes, "B");
        text_printf(out, "<td>%lld</td><td>%d \342\200\223 %d</td></tr>\n", (long long)b->offset_bytes, b->first, b->last);
    }
    text_add(out, "</tbody></table></div>\n");
}

static void put_decision(const struct report_call *call, struct text *out)
{
    text_printf(out, "<tr><td>%d</td>", call->number);
    put_name(call, out);
    text_add(out, "<td class=\"prose\">");
    html_text(out, call->operators);
    text_add(out, "</td><td class=\"prose\">");
    html_text(out, call->stored);
    text_add(out, "</td><td class=\"prose\"><code>");
    html_text(out, call->strategy);
    text_add(out, "</code></td></tr>\n");
}

static void put_decisions(const struct report *report, struct text *out)
{
    int fused = 0, moves = 0;
    double moved = 0, seconds = 0;
    for (int i = 0; i < report->n_calls; i++) {
        const struct report_call *call = &report->calls[i];
        fused += call->n_fused;
        if (call->flops > 0) continue;
        moves++;
        moved += call->bytes;
        seconds += report_seconds(call);
    }
    text_printf(out, "<h2>What was decided</h2>\n<p>%d values are computed inside the %d calls that use them and never stored.",
                fused, report->n_calls);
    if (moves) {
        text_printf(out, " %d call%s nothing and only move%s data (transposes and copies that were kept, borders): ", moves,
                    moves == 1 ? " computes" : "s compute", moves == 1 ? "s" : "");
        amount_text(out, moved, "B");
        text_add(out, ", ");
        seconds_text(out, seconds);
        text_add(out, ".");
    }
    text_add(out, "</p>\n<div class=\"wide\"><table><thead><tr><th>call</th><th class=\"left\">layers, kernel</th>"
                  "<th class=\"left\">computes</th><th class=\"left\">why its result is stored</th>"
                  "<th class=\"left\">schedule</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < report->n_calls; i++) put_decision(&report->calls[i], out);
    text_add(out, "</tbody></table></div>\n");
}

void report_html(const struct report *report, struct text *out)
{
    text_add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    html_text(out, report->model);
    text_add(out, "</title>\n<style>\n");
    text_add_n(out, frontend_report_css, frontend_report_css_bytes);
    text_add(out, "</style>\n</head>\n<body>\n<h1>");
    html_text(out, report->model);
    text_printf(out, "</h1>\n<p class=\"soft\">compiled by Tenon through %s for %s, %d thread%s</p>\n", report->target, report->cpu,
                report->threads, report->threads > 1 ? "s" : "");
    put_totals(report, out);
    put_split(report, out);
    put_machine(report, out);
    text_add(out, "<h2>Roofline</h2>\n<p class=\"note\">A dot is a call, its area the share of the time. Calls that compute "
                  "nothing have no place here.</p>\n<figure>\n");
    chart_roofline(report, out);
    text_add(out, "</figure>\n");
    put_calls(report, out);
    put_memory(report, out);
    put_decisions(report, out);
    if (dims_n_symbols(report->prog->dims))
        text_add(out, "<p class=\"note\">Operations are counted for the smallest sizes of the open dimensions.</p>\n");
    text_add(out, "</body>\n</html>\n");
}
