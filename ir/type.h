/* Element types, dimensions and tensor types.
 *
 * A dimension (`dim`) is one int64_t: a plain number, or a handle of a symbolic expression over named symbols
 * held in a `struct dims`. Symbolic expressions are kept in one normal form (a sum of integer multiples of
 * products of atoms; an atom is a symbol, a floor division, a min or a max), so two dims are the same
 * expression exactly when the handles are equal. Plain numbers may be negative (in attribute and shape
 * arithmetic); handles lie below DIM_SYMBOLIC, where no size ever does. Arithmetic saturates at +-DIM_HUGE
 * instead of overflowing, and types with such dims are refused.
 */
#ifndef TENON_TYPE_H
#define TENON_TYPE_H
#include "arena.h"
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

enum dtype {
#define DT(name, bytes, class) DT_##name,
#include "dtypes.def"
#undef DT
    DT_COUNT
};
enum dtype_class { DT_FLOAT, DT_SIGNED, DT_UNSIGNED, DT_BOOL };

const char *dtype_name(enum dtype dt);
bool dtype_from_name(const char *name, enum dtype *dt); /* index is not a name users have */
int64_t dtype_bytes(enum dtype dt);
enum dtype_class dtype_class(enum dtype dt);
static inline bool dtype_is_float(enum dtype dt) { return dt <= DT_bf16; }
static inline bool dtype_is_int(enum dtype dt) { return dt >= DT_i8 && dt != DT_bool; }
static inline bool dtype_is_half(enum dtype dt) { return dt == DT_f16 || dt == DT_bf16; }
/* The type that arithmetic on dt is done in: f32 for f16 and bf16, otherwise dt itself. */
static inline enum dtype dtype_compute(enum dtype dt) { return dtype_is_half(dt) ? DT_f32 : dt; }
/* Value ranges of integer types (bool: 0..1); u64's upper bound as uint64_t. */
int64_t dtype_int_min(enum dtype dt);
uint64_t dtype_int_max(enum dtype dt);
/* Conversions of 16-bit floats, round to nearest even. */
float f16_to_float(uint16_t bits);
uint16_t f16_from_float(float v);
float bf16_to_float(uint16_t bits);
uint16_t bf16_from_float(float v);

typedef int64_t dim;
#define DIM_SYMBOLIC (-((int64_t)1 << 62))
#define DIM_HUGE ((int64_t)1 << 56)
static inline bool dim_is_const(dim d) { return d >= DIM_SYMBOLIC; }

struct dims; /* the table of symbols and expressions */
struct dims *dims_new(struct arena *arena);

/* The symbol `name`, made with this range where it is new (lo..hi inclusive). Looking up an existing name
 * returns the same symbol and narrows its range. */
dim dim_symbol(struct dims *dims, const char *name, int64_t lo, int64_t hi);
/* The existing symbol called name; false where there is none. */
bool dim_find_symbol(const struct dims *dims, const char *name, dim *d);
int dims_n_symbols(const struct dims *dims);
struct symbol {
    const char *name;
    int64_t lo, hi;
};
const struct symbol *dims_symbol(const struct dims *dims, int i); /* in order of creation */
dim dims_symbol_dim(struct dims *dims, int i);
/* The number of the only symbol in d; -1: none, -2: several. */
int dim_only_symbol(struct dims *dims, dim d);
/* The symbol that the size of an input's dim tells, with that size as its value: of S itself, and of m*(S/m), as
 * sizes that must be multiples of m are written. -1 where the dim tells none (whether the size then fits is for the
 * caller to check with dim_eval). */
int dim_bound_symbol(struct dims *dims, dim d, int64_t size);

dim dim_add(struct dims *dims, dim a, dim b);
dim dim_sub(struct dims *dims, dim a, dim b);
dim dim_mul(struct dims *dims, dim a, dim b);
int64_t floor_div(int64_t a, int64_t b); /* of numbers; b = 0 gives 0 */
dim dim_div(struct dims *dims, dim a, dim b); /* floor; b = 0 gives 0 */
dim dim_mod(struct dims *dims, dim a, dim b); /* a - b*(a div b) */
dim dim_min(struct dims *dims, dim a, dim b);
dim dim_max(struct dims *dims, dim a, dim b);
static inline dim dim_ceil_div(struct dims *s, dim a, dim b) { return dim_div(s, dim_add(s, a, dim_sub(s, b, 1)), b); }
/* True where a is a multiple of b as an expression; *quotient is a/b then. */
bool dim_divides(struct dims *dims, dim a, dim b, dim *quotient);
/* Proven bounds over all values of the symbols in their ranges. */
int64_t dim_lo(const struct dims *dims, dim d);
int64_t dim_hi(const struct dims *dims, dim d);
bool dim_le(struct dims *dims, dim a, dim b); /* proven a <= b */
bool dim_lt(struct dims *dims, dim a, dim b);
/* Value with symbol i = values[i]. */
int64_t dim_eval(const struct dims *dims, dim d, const int64_t *values);
/* d with symbol i replaced by to[i] (a dim of the same table); used to pin or rename symbols. */
dim dim_substitute(struct dims *dims, dim d, const dim *to);
/* Prints `2*N*H + 3`, `(N + 1) / 2`, `max(N, 4)`; a sum or quotient gets parentheses where tight. In C text
 * '/' truncates like floor only for non-negative numerators: printers use dim_view below instead. */
void dim_print(const struct dims *dims, struct text *text, dim d, bool tight);

/* One level of a symbolic expression, for printers: SUM of n parts, PRODUCT of n parts, or a leaf. */
enum dim_kind { DIM_CONST, DIM_SYMBOL, DIM_SUM, DIM_PRODUCT, DIM_DIV, DIM_MIN, DIM_MAX };
struct dim_view {
    enum dim_kind kind;
    int symbol;       /* DIM_SYMBOL: its number */
    int n;            /* parts */
    dim part[64];
};
void dim_open(struct dims *dims, dim d, struct dim_view *view);

enum { RANK_MOST = 16 };
#define ELEMENTS_MOST ((int64_t)1 << 40)

struct type {
    enum dtype dt;
    int rank;
    dim dim[RANK_MOST];
};

bool type_equal(const struct type *a, const struct type *b);
bool type_is_static(const struct type *type);
/* Product of the dims. */
dim type_elements(struct dims *dims, const struct type *type);
/* Elements of a type whose dims are all plain numbers; -1 where the product passes ELEMENTS_MOST. */
int64_t type_count(const struct type *type);
/* "f32[N, 3, 224, 224]" */
void type_print(const struct dims *dims, struct text *text, const struct type *type);
const char *type_string(const struct dims *dims, struct arena *arena, const struct type *type);
/* a*b into *product; false on overflow or a negative factor. */
bool size_mul(int64_t a, int64_t b, int64_t *product);

/* Constant data: dense, row-major, little-endian, one byte per bool. */
struct tensor {
    struct type type; /* dims are plain numbers */
    const void *data;
    int64_t n_bytes;
    bool is_dims; /* i64 only: elements may be symbolic dims (shape arithmetic) */
};

/* What the integers of an input or output stand for: (q - zero)*scale. */
struct scale_note {
    bool output;
    int position;
    double scale;
    int64_t zero;
};
struct scale_notes {
    struct scale_note *at;
    int n, cap;
};
/* NULL where nothing is noted of it. */
const struct scale_note *scale_note_find(const struct scale_notes *notes, bool output, int position);

#endif
