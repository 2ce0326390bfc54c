/* The mark that pass profile puts between the calls of main: whoever runs the program is told where it is.
 *
 * This text is carried into artefacts that have marks, so it includes nothing of ours. It knows no clock and keeps no
 * times: those are the host's, which sets a function that every mark calls (frontend/cmd_profile.c). Where none is
 * set, a mark costs a call and a test.
 *
 * tenon_note: scalars 0 site   1 worker. Returns 0.
 */
#include <stddef.h>
#include <stdint.h>

int tenon_note(void *const *buffers, const int64_t *scalars);
/* From now on marks call note(context, site, worker), on the worker's thread; NULL: nothing. Not during a run. */
void tenon_note_to(void (*note)(void *context, int64_t site, int64_t worker), void *context);
#if defined(__GNUC__)
#pragma weak tenon_note_to
#endif

static void (*tenon_noter)(void *context, int64_t site, int64_t worker);
static void *tenon_note_context;

int tenon_note(void *const *buffers, const int64_t *scalars)
{
    (void)buffers;
    if (tenon_noter) tenon_noter(tenon_note_context, scalars[0], scalars[1]);
    return 0;
}

void tenon_note_to(void (*note)(void *context, int64_t site, int64_t worker), void *context)
{
    tenon_noter = note;
    tenon_note_context = context;
}
