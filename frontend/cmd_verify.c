/* tenon verify: every stage of a model against its graph's interpreter, on the same random input.
 *
 * The graph as read, with composite operators expanded, gives the reference. After each pass the unit is interpreted again; then compiled code runs. The
 * first stage whose answer leaves the tolerance (passes/trial.h) is named, with the value; when it is a pass over
 * programs or the code, also the kernel that writes the value.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"

#include <string.h>

struct verdict {
    struct session *session;
    const struct tensor *reference;
    const struct trial *trial;
    bool differs;
};

static const char *unit_output_name(const struct unit *unit, int i)
{
    return unit->graph ? unit->graph->output_names.at[i] : unit->prog->output_names.at[i];
}

/* The kernel of the last call in list that writes buf, NULL where there is none. */
static const struct kernel *writer_of(const struct stmt *list, const struct buffer *buf)
{
    const struct kernel *found = NULL;
    for (const struct stmt *s = list; s; s = s->next) {
        for (int i = 0; s->kernel && i < s->n_args; i++)
            if (s->args[i].buf == buf && s->kernel->params.at[i]->written) found = s->kernel;
        const struct kernel *inside = s->body ? writer_of(s->body, buf) : NULL;
        if (!inside && s->other) inside = writer_of(s->other, buf);
        if (inside) found = inside;
    }
    return found;
}

static void report(struct verdict *verdict, const char *stage, const struct unit *unit, const struct tensor *got, int i,
                   const struct difference *d)
{
    struct session *session = verdict->session;
    const char *name = unit_output_name(unit, i);
    if (d->n < 0) {
        diag_error(session->diag, (struct place){0}, "%s: output %d \"%s\" has type %s, the graph says %s", stage, i,
                   name, type_string(session->dims, session->arena, &got->type),
                   type_string(session->dims, session->arena, &verdict->reference[i].type));
        return;
    }
    diag_error(
        session->diag, (struct place){0},
        "%s: output %d \"%s\" differs in %lld of %lld elements; the worst, element %lld, is %.9g and should be %.9g",
        stage, i, name, (long long)d->n, (long long)type_count(&got->type), (long long)d->at, d->got, d->expected);
    const struct kernel *kernel = unit->prog ? writer_of(unit->prog->main, unit->prog->outputs.at[i]) : NULL;
    if (kernel)
        diag_note(session->diag, kernel->place, "kernel %s writes it (%s); strategy: %s", kernel->name,
                  kernel->layers ? kernel->layers : "",
                  kernel->strategy && *kernel->strategy ? kernel->strategy : "plain");
}

/* True where all outputs agree; prints the stage's line. */
static bool judge(struct verdict *verdict, const char *stage, const struct unit *unit, const struct tensor *got)
{
    double worst = 0;
    for (int i = 0; i < verdict->trial->n_out; i++) {
        struct difference d;
        bool same = trial_agrees(verdict->trial, &got[i], &verdict->reference[i], &d);
        if (d.worst > worst) worst = d.worst;
        if (same) continue;
        report(verdict, stage, unit, &got[i], i, &d);
        verdict->differs = true;
        return false;
    }
    progress_show(verdict->session, NULL);
    printf("%-16s agrees; largest difference %.3g\n", stage, worst);
    return true;
}

static bool verify_passes(struct verdict *verdict, const struct options *options, const struct trial *trial,
                          struct unit *unit)
{
    struct session *session = verdict->session;
    struct pipeline_options pipeline;
    enum pass order[PIPELINE_MOST];
    model_pipeline(session, options, &pipeline);
    int n = pipeline_order(&pipeline, order, session->diag);
    for (int i = 0; i < n; i++) {
        const char *name = pass_row(order[i])->name;
        const char *stage = arena_printf(session->arena, "pass %s", name);
        progress_show(session, "%s", stage);
        if (!pipeline_step(unit, order[i], session->arena, &pipeline.pass, session->diag)) return false;
        if (!unit_verify(unit, session->diag)) return false;
        const struct tensor *got = trial_eval(unit, trial, session->arena, &pipeline.pass, session->diag);
        if (!got) return diag_error(session->diag, (struct place){0}, "%s: the interpreter stops", stage);
        if (!judge(verdict, stage, unit, got)) return false;
    }
    return n >= 0;
}

static bool verify_code(struct verdict *verdict, const struct options *options, enum engine engine,
                        const struct trial *trial, const struct unit *unit)
{
    struct session *session = verdict->session;
    struct tensor *out = NEW_ARRAY(session->arena, struct tensor, verdict->trial->n_out + 1);
    struct engine_run *run = engine_open(session, options, engine, unit);
    if (!run) return false;
    bool ok = engine_call(session, run, trial->in, trial->symbols, session->arena, out);
    engine_close(run);
    return ok && judge(verdict, arena_printf(session->arena, "code by %s", engine_title(engine)), unit, out);
}

int command_verify(struct session *session, const struct options *options)
{
    struct unit unit;
    struct trial trial;
    if (!model_open(session, options, options->paths[0], session->arena, &unit)) return STATUS_INPUT;
    if (!unit_verify(&unit, session->diag)) return STATUS_INPUT;
    if (!trial_make(&unit, options->pipeline.seed, NULL, session->arena, &trial, session->diag)) return STATUS_INPUT;
    struct pipeline_options pipeline;
    model_pipeline(session, options, &pipeline);
    progress_show(session, "interpreting the graph");
    struct verdict verdict = {.session = session, .trial = &trial};
    verdict.reference = trial_eval(&unit, &trial, session->arena, &pipeline.pass, session->diag);
    if (!verdict.reference || !verify_passes(&verdict, options, &trial, &unit)) return STATUS_INPUT;
    if (!unit.prog) return STATUS_OK;
    bool c = !options->engine_given || options->engine == ENGINE_C;
    bool llvm = options->engine_given ? options->engine == ENGINE_LLVM : llvm_is_built_in();
    bool opencl = options->engine == ENGINE_OPENCL;
    bool ok = !c || verify_code(&verdict, options, ENGINE_C, &trial, &unit);
    ok = (!llvm || verify_code(&verdict, options, ENGINE_LLVM, &trial, &unit)) && ok;
    ok = (!opencl || verify_code(&verdict, options, ENGINE_OPENCL, &trial, &unit)) && ok;
    return ok ? STATUS_OK : STATUS_INPUT;
}
