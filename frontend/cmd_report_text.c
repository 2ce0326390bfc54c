/* The report for a terminal: calls by time, the longest first. */
#include "cmd_report.h"

#include <string.h>

void amount_text(struct text *out, double v, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    int k = 0;
    for (; v >= 999.5 && k < 4; k++) v /= 1000;
    text_printf(out, "%.*f %s%s", k == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, prefix[k], unit);
}

void seconds_text(struct text *out, double seconds)
{
    static const char *const unit[] = {"s", "ms", "\302\265s", "ns"}; /* micro sign */
    int k = 0;
    for (; seconds < 0.9995 && k < 3; k++) seconds *= 1000;
    text_printf(out, "%.*f %s", seconds >= 99.95 ? 0 : seconds >= 9.995 ? 1 : 2, seconds, unit[k]);
}

/* At most `most` characters; what a terminal would obey or not know is '?'. */
static void print_name(FILE *out, const char *s, int most)
{
    for (int n = 0; *s; n++) {
        int bytes = utf8_bytes(s);
        if (n == most) {
            fputs("...", out);
            return;
        }
        unsigned char first = (unsigned char)s[0], second = (unsigned char)s[1];
        if (bytes == 0 || first < 32 || first == 127 || (first == 0xc2 && second < 0xa0)) fputc('?', out);
        else fwrite(s, 1, (size_t)bytes, out);
        s += bytes ? bytes : 1;
    }
}

static double rate_of(double flops, double seconds)
{
    return seconds > 0 ? 1e-9 * flops / seconds : 0;
}

/* Whether some kernel does fewer operations than its operator's definition: then a column says the rate by those. */
static bool is_effective(const struct report *report)
{
    return report->direct_flops > report->flops;
}

static void print_call(const struct report *report, const struct report_call *call, FILE *out)
{
    double seconds = report_seconds(call);
    fprintf(out, "%5d %9.1f %6.1f %9.1f ", call->number, 1e6 * seconds,
            100 * seconds / (report->profile ? report->measured : report->predicted), rate_of(call->flops, seconds));
    if (is_effective(report)) fprintf(out, "%10.1f ", rate_of(call->direct_flops, seconds));
    fprintf(out, "%7.1f %9.1f  %-9s ", 1e11 * rate_of(call->flops, seconds) / report->machine.flops, 1e6 * call->predicted,
            bound_name(call->bound));
    print_name(out, call->kernel, 40);
    if (call->place && !strcmp(call->place, "host")) fputs(" on the host", out);
    if (*call->layers) {
        fputs("  ", out);
        print_name(out, call->layers, 60);
    }
    fputc('\n', out);
}

void report_print(const struct report *report, FILE *out)
{
    const struct machine *machine = &report->machine;
    fprintf(out, "  reads of");
    for (int i = 0; i < machine->n_levels; i++)
        fprintf(out, "%s %s %.4g GB/s", i ? "," : "", machine->level[i].name, 1e-9 * machine->level[i].rate);
    fprintf(out, "; %d calls in %.4g ms, by the roofline %.4g ms\n\n", report->n_calls, 1e3 * report->measured,
            1e3 * report->predicted);
    fprintf(out, " call   time us      %%   GFLOP/s %s  %%peak  roofline  bound by  kernel  layers\n",
            is_effective(report) ? " effective " : "");
    for (int i = 0; i < report->n_calls; i++) print_call(report, report->by_time[i], out);
    if (report->profile)
        fprintf(out, "%15.1f  between the calls\n", 1e6 * report->profile->rest.median);
    if (report->profile && report->threads > 1)
        fprintf(out, "%15.1f  waiting at barriers, the worker that waits longest\n", 1e6 * report->profile->wait.median);
}
