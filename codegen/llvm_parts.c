/* The LLVM back end, objects: a program is compiled in parts, as many at a time as there are processors.
 *
 * A part is some kernels that follow one another, one module in a context of its own; how a program is divided depends on
 * the program alone, so the objects are the same bytes on every machine. The calling thread builds the modules one
 * after the other, since that adds to tables of the program, and then compiles with the others. Read next: llvm.c.
 */
#define _POSIX_C_SOURCE 200809L
#include "llvm.h"
#include "process.h"

#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* A part of so many statements takes 50 to 100 ms; less is not worth a module. */
enum { PART_STATEMENTS = 1500, PARTS_MOST = 24, WORKERS_MOST = 16 };

struct work { /* one part */
    struct llvm_part part;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMMemoryBufferRef object;
    char *error; /* LLVM's words; NULL: none */
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work *work;
    int n, built, taken;
};

/* ---- division ---- */

static double statements_of(const struct stmt *s)
{
    double n = 0;
    for (; s; s = s->next) {
        double inside = 1 + statements_of(s->body) + statements_of(s->other);
        bool is_unrolled = s->kind == STMT_FOR && s->loop == LOOP_UNROLL && ex_is_const(s->a) && ex_is_const(s->b);
        n += is_unrolled ? inside * (double)(s->b->imm - s->a->imm) / (double)s->step : inside;
    }
    return n;
}

/* Adds the version's parts, of about the same number of statements, to work. */
static int divide(const struct emission *emission, int version, struct work *work)
{
    const struct prog *prog = emission->versions[version].prog;
    double all = statements_of(prog->main), so_far = all;
    for (int i = 0; i < prog->kernels.n; i++) all += statements_of(prog->kernels.at[i]->body);
    int most = PARTS_MOST / emission->n_versions, n = (int)(all / PART_STATEMENTS) + 1, used = 0;
    if (n > most) n = most;
    for (int i = 0; i < prog->kernels.n; i++) {
        double own = statements_of(prog->kernels.at[i]->body);
        if (used == 0 || so_far + own / 2 > all * used / n) {
            work[used].part = (struct llvm_part){.version = version, .first = i, .has_run = used == 0};
            used++;
        }
        work[used - 1].part.end = i + 1;
        so_far += own;
    }
    if (used == 0) work[used++].part = (struct llvm_part){.version = version, .has_run = true};
    if (used == 1) work->part.is_whole = true;
    return used;
}

/* ---- compiling ---- */

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *context)
{
    struct work *work = context;
    if (LLVMGetDiagInfoSeverity(info) == LLVMDSError && !work->error) work->error = LLVMGetDiagInfoDescription(info);
}

static void compile(struct work *work)
{
    char *message = NULL;
    llvm_improve(work->module, work->machine);
    if (LLVMTargetMachineEmitToMemoryBuffer(work->machine, work->module, LLVMObjectFile, &message, &work->object))
        bug("llvm", "emission: %s", message);
    LLVMDisposeModule(work->module);
    LLVMDisposeTargetMachine(work->machine);
}

/* Compiles what is built until there is nothing to come. */
static void *compile_all(void *argument)
{
    struct queue *queue = argument;
    for (;;) {
        pthread_mutex_lock(&queue->lock);
        while (queue->taken == queue->built && queue->built < queue->n) pthread_cond_wait(&queue->more, &queue->lock);
        int mine = queue->taken < queue->n ? queue->taken++ : -1;
        pthread_mutex_unlock(&queue->lock);
        if (mine < 0) return NULL;
        compile(&queue->work[mine]);
    }
}

static void build_all(const struct emission *emission, struct queue *queue)
{
    for (int i = 0; i < queue->n; i++) {
        struct work *work = &queue->work[i];
        work->module = llvm_build(emission, &work->part, work->context, work->machine);
        pthread_mutex_lock(&queue->lock);
        queue->built++;
        pthread_cond_signal(&queue->more);
        pthread_mutex_unlock(&queue->lock);
    }
}

static void run_queue(const struct emission *emission, struct queue *queue)
{
    pthread_t thread[WORKERS_MOST];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int n_threads = 0;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->more, NULL);
    while (n_threads + 1 < processors && n_threads + 1 < queue->n && n_threads < WORKERS_MOST &&
           !pthread_create(&thread[n_threads], NULL, compile_all, queue))
        n_threads++;
    build_all(emission, queue);
    compile_all(queue);
    for (int i = 0; i < n_threads; i++) pthread_join(thread[i], NULL);
    pthread_cond_destroy(&queue->more);
    pthread_mutex_destroy(&queue->lock);
}

static bool write_object(const struct work *work, const char *folder, const char *name, struct diag *diag)
{
    struct arena *arena = arena_new();
    bool good = !work->error || diag_error(diag, (struct place){0}, "LLVM: %s", work->error);
    good = good && file_write(arena_printf(arena, "%s/%s", folder, name), LLVMGetBufferStart(work->object),
                              LLVMGetBufferSize(work->object), diag);
    arena_free(arena);
    return good;
}

bool llvm_objects(const struct emission *emission, const char *folder, struct text *names, struct diag *diag)
{
    struct arena *arena = arena_new();
    struct queue queue = {.work = NEW_ARRAY(arena, struct work, PARTS_MOST + emission->n_versions)};
    bool good = true;
    for (int i = 0; i < emission->n_versions; i++) queue.n += divide(emission, i, &queue.work[queue.n]);
    for (int i = 0; i < queue.n && good; i++) {
        const struct target *target = emission->versions[queue.work[i].part.version].target;
        queue.work[i].machine = llvm_machine(target, llvm_triple(target, arena), diag);
        queue.work[i].context = LLVMContextCreate();
        LLVMContextSetDiagnosticHandler(queue.work[i].context, on_diagnostic, &queue.work[i]);
        good = queue.work[i].machine != NULL;
    }
    if (good) run_queue(emission, &queue);
    for (int i = 0; i < queue.n && queue.work[i].context; i++) {
        struct work *work = &queue.work[i];
        const char *name = arena_printf(arena, "kernels%d.o", i);
        good = good && write_object(work, folder, name, diag);
        text_printf(names, "%s\n", name);
        if (work->object) LLVMDisposeMemoryBuffer(work->object);
        LLVMDisposeMessage(work->error);
        LLVMContextDispose(work->context);
    }
    arena_free(arena);
    return good;
}
