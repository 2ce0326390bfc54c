/* Parameter records as text: what is printed reads back as the same schedule, and what is wrong or does not fit its nest
 * is refused with a located message (tests/test_schedule.c runs what fits). Hostile bytes end in a message too.
 */
#include "../passes/passes.h"
#include "../passes/record.h"
#include "../passes/tuning.h"

#include <stdio.h>
#include <string.h>

/* A product whose b is a constant, and a row-wise loop that stores: one nest, and loops to be scheduled one by one. */
static const char matmul[] = "program \"m\"\n"
                             "input a: f32[7, 5]\ninput b: f32[5, 16]\noutput y: f32[7, 16]\n"
                             "kernel k(out y: f32[7, 16], in a: f32[7, 5], in b: f32[5, 16]) {\n"
                             "  for i in 0..7 {\n    for j in 0..16 {\n      reg acc: f32 = 0.0\n"
                             "      for c in 0..5 {\n        set acc = acc + load a[5*i + c]*load b[16*c + j]\n      }\n"
                             "      store y[16*i + j] = acc\n    }\n  }\n}\n"
                             "main {\n  call k(y, a, b)\n}\n";
static const char rows[] = "program \"m\"\n"
                           "input x: f32[3, 40]\noutput y: f32[3, 40]\n"
                           "kernel k(out y: f32[3, 40], in x: f32[3, 40]) {\n"
                           "  for i in 0..3 {\n    reg m: f32 = 0.0\n"
                           "    for j in 0..40 {\n      set m = max(m, load x[40*i + j])\n    }\n"
                           "    for l in 0..40 {\n      store y[40*i + l] = load x[40*i + l] - m\n    }\n  }\n}\n"
                           "main {\n  call k(y, x)\n}\n";

struct bed { /* one program with one kernel */
    struct arena *arena;
    struct diag *diag;
    struct prog *prog;
    uint64_t key;
    const struct target *target;
    struct tuning_kernel *explored;
};

static struct prog *schedule(struct bed *bed, const char *records, int explore, struct tuning **tuning)
{
    struct source *file = NEW(bed->arena, struct source);
    *tuning = tuning_new(bed->arena, bed->diag, bed->target->name, "c", 1);
    (*tuning)->explore = explore;
    file->name = "file";
    file->text = records ? arena_printf(bed->arena, "tenon tuning 1\nkernel %016llx %s c 1:%s\n", (unsigned long long)bed->key,
                                        bed->target->name, records)
                         : "tenon tuning 1";
    file->n_bytes = strlen(file->text);
    struct pass_options options = {.target = bed->target, .level = 2, .threads = 1, .tuning = *tuning};
    return tuning_parse(*tuning, file) ? pass_schedule(bed->prog, bed->arena, &options) : NULL;
}

static bool bed_make(struct bed *bed, const char *text)
{
    struct arena *arena = arena_new();
    struct source source = {"program", text, strlen(text)};
    struct tuning *tuning;
    *bed = (struct bed){.arena = arena, .diag = diag_new(arena), .target = target_find("x86-64-v3")};
    bed->prog = prog_parse(&source, arena, arena, dims_new(arena), bed->diag);
    if (!bed->prog || !schedule(bed, NULL, 50, &tuning) || tuning->explored.n != 1) return false;
    bed->explored = &tuning->explored.at[0];
    bed->key = bed->explored->key;
    return true;
}

/* Every listed record of every point: the schedule made from it says the same record. */
static int check_round_trip(const char *text, int least)
{
    struct bed bed;
    int bad = 0, n = 0;
    if (!bed_make(&bed, text)) return 1;
    int *which = NEW_ARRAY(bed.arena, int, bed.explored->points.n);
    for (int p = 0; p < bed.explored->points.n; p++) {
        for (which[p] = 0; which[p] < bed.explored->points.at[p].n; which[p]++, n++) {
            struct tuning *tuning;
            const char *records = tuning_records(bed.explored, which, bed.arena);
            const struct prog *made = schedule(&bed, records, 0, &tuning);
            bool same = made && !strcmp(made->kernels.at[0]->strategy, records) && tuning->lines.at[0].used;
            if (!same) printf("fail %s: became %s\n", records, made ? made->kernels.at[0]->strategy : "an error");
            bad += !same;
        }
        which[p] = 0;
    }
    if (n < least) printf("fail: only %d records listed\n", n), bad++;
    diag_print(bed.diag, stdout);
    arena_free(bed.arena);
    return bad;
}

struct refusal {
    const char *program, *records;
    int column; /* in the line, of the first message */
    const char *message;
};
/* Columns: the records start at column 39. */
static const struct refusal refusals[] = {
    {matmul, "", 39, "a record (map, tile, reduce, loops, group or rows) is expected here"},
    {matmul, " frob order=i,j", 40, "a record is map, tile, reduce, loops, group or rows, not 'frob'"},
    {matmul, "tile", 39, "the record has no order="},
    {matmul, "group rows=64", 39, "a group has rows=, columns=, high=, wide= and step="},
    {matmul, "group rows=1 rows=2", 52, "rows is given twice"},
    {matmul, "group rows=8 lanes=2", 52, "there is no option 'lanes' here"},
    {matmul, "group rows=8 columns=8 high=1 wide=1 step=1", 39, "the record does not fit: the loops are none for groups of lanes"},
    {rows, "rows lanes=8", 39, "rows have lanes= and rows="},
    {rows, "rows lanes=8 rows=1", 39, "the record does not fit: the loops are none for groups of lanes"},
    {matmul, "tile order=", 50, "an axis is expected here"},
    {matmul, "tile order=i,", 52, "an axis is expected here"},
    {matmul, "tile order=i", 39, "the order has 1 axes and the nest 2"},
    {matmul, "tile order=i,i", 39, "the record does not fit: the order has to name every axis once"},
    {matmul, "tile order=i,c", 52, "the nest has no axis 'c'; it has i, j"},
    {matmul, "tile order=i,j order=i,j", 60, "the order is given twice"},
    {matmul, "tile lanes=j order=i,j", 51, "':' is expected here"},
    {matmul, "tile lanes=j:8 lanes=i:8 order=i,j", 60, "lanes are given twice"},
    {matmul, "tile lanes=j:99999999999999999999 order=i,j", 52, "a number from 2 to 64 is expected here"},
    {matmul, "tile lanes=j:-8 order=i,j", 52, "a number from 2 to 64 is expected here"},
    {matmul, "tile lanes=j:8x order=i,j", 52, "a number from 2 to 64 is expected here"},
    {matmul, "tile lanes=j:16 order=i,j", 39, "the record does not fit: more lanes than the target has"},
    {matmul, "tile lanes=j:6 order=i,j", 39, "the record does not fit: lanes are a power of two"},
    {matmul, "tile lanes=j:8 copies=i:7 copies=i:2 order=i,j", 72, "copies of i are given twice"},
    {matmul, "tile copies=i:200 copies=j:200 order=i,j", 39, "the record does not fit: more than 240 copies in all"},
    {matmul, "tile copies=i:0 order=i,j", 53, "a number from 1 to 240 is expected here"},
    {matmul, "tile order=i,j unroll=100000", 61, "a number from 0 to 512 is expected here"},
    {matmul, "tile order=i,j pack=w:j", 59, "the nest reads no parameter 'w'"},
    {matmul, "tile order=i,j pack=b:j", 59, "b cannot be packed for j here"},
    {matmul, "tile order=i,j pack=b", 60, "':' is expected here"},
    {matmul, "tile order=i,j frob=3", 54, "there is no option 'frob' here"},
    {matmul, "tile order=i,j;", 54, "a record (map, tile, reduce, loops, group or rows) is expected here"},
    {matmul, "tile order=i,j; loops", 55, "kernel k has fewer loops to schedule than there are records"},
    {matmul, "loops", 39, "kernel k has more loops to schedule than the 1 records here"},
    {matmul, "map order=i,j", 39, "the loops here are a nest with loops inside, for a record tile"},
    {matmul, "reduce lanes=8", 39, "the loops here are no reduction"},
    {matmul, "tile lanes=j:8 order=i,j \x01", 64, "an option is expected here"},
    {rows, "loops; reduce lanes=8", 46, "kernel k has more loops to schedule than the 2 records here"},
    {rows, "loops; reduce lanes=16; map order=l", 46,
     "the loop here is a reduction, with at most 8 lanes (a power of two)"},
    {rows, "loops; reduce lanes=8 unroll=2; map order=l", 46, "a reduction has either lanes= or unroll="},
    {rows, "loops; loops; map order=l", 46, "the loop here is a reduction, with at most 8 lanes (a power of two)"},
    {rows, "tile order=i", 39, "the record does not fit: loops inside the nest store: it is scheduled loop by loop"},
    {rows, "tile lanes=inner:8 order=i", 39, "the record does not fit: the nest has no reductions for lanes inside"},
};

static int check_refusal(const struct refusal *refusal)
{
    struct bed bed;
    struct tuning *tuning;
    if (!bed_make(&bed, refusal->program)) return 1;
    const struct prog *made = schedule(&bed, refusal->records, 0, &tuning);
    const char *expected = arena_printf(bed.arena, "file:2:%d: error: %s\n", refusal->column, refusal->message);
    char got[400] = "";
    FILE *out = tmpfile();
    diag_print(bed.diag, out);
    rewind(out);
    got[fread(got, 1, sizeof got - 1, out)] = 0;
    fclose(out);
    bool fine = !made && !strncmp(got, expected, strlen(expected));
    if (!fine) printf("fail '%s'\n  expected %s  got %s", refusal->records, expected, made ? "a schedule\n" : got);
    arena_free(bed.arena);
    return !fine;
}

int main(void)
{
    int bad = check_round_trip(matmul, 30) + check_round_trip(rows, 8), n = sizeof refusals / sizeof *refusals;
    for (int i = 0; i < n; i++) bad += check_refusal(&refusals[i]);
    printf("%d refusals, %d failed\n", n, bad);
    return bad != 0;
}
