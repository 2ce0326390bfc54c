/* The last timed run as a trace that chrome://tracing and Perfetto show: a track per worker, an event per call; waiting
 * at barriers is an event too, and the time between calls is the gaps. At most PROFILE_EVENTS_MOST marks a worker. */
#include "../passes/profile.h"
#include "cmd_report.h"

static void put_event(const struct report *report, const struct profile_event *event, int worker, struct text *out)
{
    const struct report_call *call = event->site >= 0 ? &report->calls[event->site] : NULL;
    text_add(out, ",\n{\"name\": ");
    json_string(out, call ? call->kernel : "barrier");
    text_printf(out, ", \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 0, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f",
                call ? bound_name(call->bound) : "wait", worker, 1e6 * event->start, 1e6 * (event->end - event->start));
    if (call) {
        text_printf(out, ", \"args\": {\"call\": %d, \"layers\": ", call->number);
        json_string(out, call->layers);
        text_add(out, ", \"strategy\": ");
        json_string(out, call->strategy);
        text_printf(out, ", \"flops\": %.0f, \"bytes\": %.0f}", call->flops / (call->times > 0 ? call->times : 1),
                    call->bytes / (call->times > 0 ? call->times : 1));
    }
    text_add(out, "}");
}

void report_trace(const struct report *report, struct text *out)
{
    const struct profile *profile = report->profile;
    text_add(out, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 0, "
                  "\"args\": {\"name\": ");
    json_string(out, report->model);
    text_add(out, "}}");
    for (int w = 0; w < profile->workers; w++) {
        text_printf(out, ",\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 0, \"tid\": %d, \"args\": {\"name\": \"worker %d\"}}",
                    w, w);
        for (int i = 0; i < profile->events[w].n; i++)
            if (profile->events[w].at[i].site != PROFILE_REST) put_event(report, &profile->events[w].at[i], w, out);
    }
    text_add(out, "\n]}\n");
}
