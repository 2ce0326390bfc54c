/* The report as JSON. Seconds and bytes are plain numbers in their units; what was not measured is null. */
#include "cmd_report.h"

static void put_number(struct text *out, const char *key, double v)
{
    text_printf(out, ", \"%s\": ", key);
    json_number(out, v);
}

/* As above, null where it is not known. */
static void put_known(struct text *out, const char *key, double v, bool known)
{
    text_printf(out, ", \"%s\": ", key);
    if (known) json_number(out, v);
    else text_add(out, "null");
}

static void put_string(struct text *out, const char *key, const char *s)
{
    text_printf(out, ", \"%s\": ", key);
    json_string(out, s);
}

static void put_machine(const struct report *report, struct text *out)
{
    const struct machine *machine = &report->machine;
    text_printf(out, "  \"machine\": {\"threads\": %d", machine->threads);
    put_number(out, "flops_per_s_one_thread", machine->flops_alone);
    put_number(out, "flops_per_s", machine->flops);
    text_add(out, ", \"memory\": [");
    for (int i = 0; i < machine->n_levels; i++) {
        const struct memory_level *level = &machine->level[i];
        text_printf(out, "%s{\"level\": \"%s\"", i ? ", " : "", level->name);
        put_known(out, "bytes", (double)level->bytes, level->bytes != INT64_MAX);
        put_number(out, "bytes_per_s", level->rate);
        text_add(out, "}");
    }
    text_add(out, "]},\n");
}

static void put_totals(const struct report *report, struct text *out)
{
    const struct profile *profile = report->profile;
    text_printf(out, "  \"totals\": {\"calls\": %d, \"runs\": %d", report->n_calls, report->runs);
    text_printf(out, ", \"arena_bytes\": %lld, \"weight_bytes\": %lld", (long long)report->totals.arena_bytes,
                (long long)report->totals.weight_bytes);
    text_printf(out, ", \"flops\": %.0f, \"direct_flops\": %.0f, \"bytes\": %.0f", report->flops, report->direct_flops,
                report->bytes);
    put_number(out, "predicted_s", report->predicted);
    put_known(out, "median_s", report->median, profile);
    put_known(out, "least_s", report->least, profile);
    put_known(out, "calls_s", report->measured, profile);
    put_known(out, "between_calls_s", profile ? profile->rest.median : 0, profile);
    put_known(out, "barriers_s", profile ? profile->wait.median : 0, profile && report->threads > 1);
    text_add(out, "},\n");
}

static void put_call(const struct report *report, const struct report_call *call, struct text *out)
{
    double seconds = report_seconds(call);
    text_printf(out, "    {\"call\": %d", call->number);
    put_string(out, "kernel", call->kernel);
    put_string(out, "layers", call->layers);
    put_string(out, "operators", call->operators);
    text_printf(out, ", \"values_fused\": %d", call->n_fused);
    put_string(out, "stored_because", call->stored);
    if (call->place) put_string(out, "place", call->place);
    put_string(out, "strategy", call->strategy);
    put_number(out, "times", call->times);
    text_printf(out, ", \"flops\": %.0f, \"direct_flops\": %.0f, \"bytes\": %.0f, \"weight_bytes\": %.0f", call->flops,
                call->direct_flops, call->bytes, call->weight_bytes);
    put_known(out, "flops_per_byte", call->bytes > 0 ? call->flops / call->bytes : 0, call->bytes > 0);
    put_number(out, "compute_s", call->compute);
    put_number(out, "memory_s", call->memory);
    put_number(out, "predicted_s", call->predicted);
    put_known(out, "median_s", call->measured, report->profile);
    put_known(out, "least_s", call->least, report->profile);
    put_known(out, "flops_per_s", call->flops / seconds, seconds > 0);
    put_known(out, "effective_flops_per_s", call->direct_flops / seconds, seconds > 0);
    put_known(out, "peak_fraction", call->flops / seconds / report->machine.flops, seconds > 0);
    text_printf(out, ", \"bound\": \"%s\", \"arena_bytes_live\": %lld}", bound_name(call->bound), (long long)call->live_bytes);
}

static void put_buffer(const struct report *report, const struct report_buffer *b, struct text *out)
{
    text_add(out, "    {\"name\": ");
    json_string(out, b->buf->name);
    put_string(out, "type", type_string(report->prog->dims, out->arena, &b->buf->type));
    text_printf(out, ", \"offset_bytes\": %lld, \"bytes\": %lld, \"first_call\": %d, \"last_call\": %d, \"at_peak\": %s}",
                (long long)b->offset_bytes, (long long)b->n_bytes, b->first, b->last, b->at_peak ? "true" : "false");
}

void report_json(const struct report *report, struct text *out)
{
    text_add(out, "{\n  \"model\": ");
    json_string(out, report->model);
    text_printf(out, ", \"target\": \"%s\", \"cpu\": \"%s\", \"threads\": %d,\n", report->target, report->cpu, report->threads);
    put_machine(report, out);
    put_totals(report, out);
    text_add(out, "  \"calls\": [\n");
    for (int i = 0; i < report->n_calls; i++) {
        put_call(report, &report->calls[i], out);
        text_add(out, i + 1 < report->n_calls ? ",\n" : "\n");
    }
    text_printf(out, "  ],\n  \"peak_call\": %d,\n  \"buffers\": [\n", report->peak_call);
    for (int i = 0; i < report->n_buffers; i++) {
        put_buffer(report, &report->buffers[i], out);
        text_add(out, i + 1 < report->n_buffers ? ",\n" : "\n");
    }
    text_add(out, "  ]\n}\n");
}
