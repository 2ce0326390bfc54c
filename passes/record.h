/* Parameter records as text: what a kernel's `strategy` says, and what a tuning file holds.
 *
 *   records := record { "; " record }                  one per loop that pass schedule decides on, in its order
 *   record  := "tile" options | "map" options          a nest with, without loops inside
 *            | "reduce lanes=" N | "reduce unroll=" N  a loop that only reduces
 *            | "group rows=" N " columns=" N " high=" N " wide=" N " step=" N [" slices=" N]   a contraction by groups of lanes (group.h)
 *            | "rows lanes=" N " rows=" N    rows by groups of lanes (group_rows.h)
 *            | "loops"                                 left as it is; the loops inside have records of their own
 *   options := ["lanes=" axis ":" N] ["lanes=inner:" N] {"copies=" axis ":" N} "order=" axis {"," axis}
 *              ["pack=" param ":" axis] ["unroll=" N]         in any order
 *
 * An axis is called as its loop variable, a second of that name `i~2`. With pack, the axis behind it is the nest's as
 * it was, all others are those after it was split for the packed order (pack.h).
 */
#ifndef TENON_RECORD_H
#define TENON_RECORD_H
#include "group.h"
#include "group_rows.h"
#include "pack.h"
#include "tile.h"

enum record_kind { RECORD_MAP, RECORD_TILE, RECORD_REDUCE, RECORD_LOOPS, RECORD_GROUP, RECORD_ROWS };
struct record_name {
    const char *text; /* NULL: not given */
    int number;
    struct place place;
};
struct record {
    enum record_kind kind;
    struct place place;
    struct record_name lanes; /* reduce: text "" and the number */
    int inner_lanes, unroll;
    int n_copies, n_order;
    struct record_name copies[AXES_MOST], order[AXES_MOST];
    struct record_name pack, pack_axis;
    struct group_plan group;
    struct rows_plan rows;
};
struct records {
    struct record *at;
    int n, cap;
};

/* Reads the records from text, which ends at its NUL, a line end or a `#`. place: where it starts. False after errors. */
bool records_parse(const char *text, struct place place, struct arena *arena, struct diag *diag, struct records *records);
/* The plan that the record gives the nest (after packing); false after an error: it names what the nest has not, or
 * choose_check refuses it. */
bool record_plan(const struct record *record, const struct loopnest *nest, const struct target *target,
                 struct tile_plan *plan, struct diag *diag);
/* The axis of the chain called so; -1 after an error. */
int record_axis(const struct record_name *name, const struct loopnest *nest, struct diag *diag);
/* A plan as its record, in the program's arena. pack: its param's label and the axis packed for; NULL: none. */
const char *record_text(const struct loopnest *nest, const struct tile_plan *plan, const char *pack, const char *pack_axis);
/* What an axis of the chain, a parameter of a kernel is called. */
const char *record_axis_label(const struct loopnest *nest, int axis);
const char *record_param_label(const struct kernel *kernel, int param, struct arena *arena);

#endif
