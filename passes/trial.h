/* Trials: a unit run by its interpreter on random inputs, and the comparison of two answers.
 *
 * The inputs are a function of the seed, the input's position and the element's index, so that every stage of a
 * model, and its compiled form, can be given the same ones. Named dimensions take small sizes within their ranges.
 *
 * Two answers agree where |a - b| <= absolute + relative*|b| (trial_tolerance, by element type), and NaN and
 * infinities stand in the same places. Integers and bool agree only where equal. See Note: tolerance in trial.c.
 */
#ifndef TENON_TRIAL_H
#define TENON_TRIAL_H
#include "pipeline.h"

struct trial {
    int n_in, n_out;
    struct tensor *in;
    const int64_t *symbols; /* by number */
    bool quantized;         /* the graph rounds to integers: answers_agree is not by element */
};
/* Inputs for the unit. symbols: sizes to use, or NULL for small ones. False where an input would be too large. */
bool trial_make(const struct unit *unit, uint64_t seed, const int64_t *symbols, struct arena *arena,
                struct trial *trial, struct diag *diag);
/* The small sizes, one per symbol. */
const int64_t *trial_symbols(const struct dims *dims, struct arena *arena);
/* Fills data (dense, of the tensor's type) with the values input number `position` has for this seed. */
void trial_fill(const struct type *type, uint64_t seed, int position, void *data);
/* Runs the unit's interpreter: n_out tensors in arena, NULL after an error. Composite operators are what pass compose
 * makes of them, in a copy; options may be NULL where there are none. */
struct tensor *trial_eval(const struct unit *unit, const struct trial *trial, struct arena *arena, const struct pass_options *options,
                          struct diag *diag);

struct difference {
    int64_t n;  /* elements outside the tolerance; -1: types or shapes differ */
    int64_t at; /* the worst of them */
    double got, expected;
    double worst; /* largest |difference| over all elements */
};
void trial_tolerance(enum dtype dt, double *absolute, double *relative);
/* True where they agree. */
bool tensor_compare(const struct tensor *got, const struct tensor *expected, struct difference *difference);
/* The same for two stages of a trial's model. */
bool trial_agrees(const struct trial *trial, const struct tensor *got, const struct tensor *expected, struct difference *difference);
/* Element i as double. */
double tensor_number(const struct tensor *tensor, int64_t i);

#endif
