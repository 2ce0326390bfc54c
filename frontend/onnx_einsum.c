/* Einsum as index notation: `bij,bjk->bik` becomes `y[b, i, k] += u[b, i, j] * v[b, j, k]`.
 *
 * Labels become letters of our own (a, b, ...), the ellipsis as many letters as it stands for. Operands are broadcast
 * first where an ellipsis has extent 1 against more.
 */
#include "onnx_build.h"

#include <ctype.h>
#include <string.h>

enum { OPERANDS_MOST = 4, LABELS_MOST = 24 };

struct einsum {
    struct onnx_call *call;
    char labels[OPERANDS_MOST + 1]
               [64];            /* per operand, and the result's: one character per axis, '0'.. for the ellipsis */
    int n_operands, n_ellipsis; /* axes an ellipsis stands for, at most */
    bool has_result;
};

/* One operand's labels with the ellipsis spelt out for this rank; false after a message. */
static bool spell_out(struct einsum *e, const char *text, size_t n, int rank, char *labels)
{
    int plain = 0, n_out = 0, dots = 0;
    for (size_t i = 0; i < n; i++) {
        if (isalpha((unsigned char)text[i])) plain++;
        else if (n - i >= 3 && !strncmp(text + i, "...", 3)) dots++, i += 2;
        else if (text[i] != ' ')
            return onnx_error(e->call, "equation has the character '%c'",
                              isprint((unsigned char)text[i]) ? text[i] : '?'),
                   false;
    }
    int many = rank < 0 ? e->n_ellipsis : rank - plain;
    if (dots > 1 || plain > 40 || many < 0 || many > 9 || (rank >= 0 && !dots && many))
        return onnx_error(e->call, "equation does not fit the operands' ranks"), false;
    if (rank >= 0 && dots && many > e->n_ellipsis) e->n_ellipsis = many;
    for (size_t i = 0; i < n; i++) {
        if (isalpha((unsigned char)text[i])) labels[n_out++] = text[i];
        if (text[i] != '.') continue;
        for (int k = e->n_ellipsis - many; k < e->n_ellipsis; k++)
            labels[n_out++] = (char)('0' + 9 - (e->n_ellipsis - 1 - k));
        i += 2;
    }
    labels[n_out] = 0;
    return true;
}

static bool parse_equation(struct einsum *e, const char *equation)
{
    const char *arrow = strstr(equation, "->"), *at = equation, *end = arrow ? arrow : equation + strlen(equation);
    for (int i = 0; i < e->n_operands; i++) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        if ((comma != NULL) != (i + 1 < e->n_operands))
            return onnx_error(e->call, "equation \"%s\" for %d inputs", equation, e->n_operands), false;
        if (!spell_out(e, at, (size_t)(stop - at), e->call->in[i]->type.rank, e->labels[i])) return false;
        at = stop + 1;
    }
    char *result = e->labels[e->n_operands];
    if (arrow) return spell_out(e, arrow + 2, strlen(arrow + 2), -1, result);
    /* Without an arrow: the ellipsis, then labels that stand once, in alphabetical order. */
    int n = 0, seen[256] = {0};
    for (int i = 0; i < e->n_operands; i++)
        for (const char *p = e->labels[i]; *p; p++) seen[(unsigned char)*p]++;
    for (int k = 0; k < 256; k++)
        if (isdigit(k) ? seen[k] > 0 : seen[k] == 1) result[n++] = (char)k;
    result[n] = 0;
    return true;
}

/* Extents of all labels; operands with 1 where another has more are broadcast. */
static bool match_extents(struct einsum *e, struct value **in)
{
    struct graph *g = e->call->graph;
    dim extent[256];
    for (int k = 0; k < 256; k++) extent[k] = 1;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < e->n_operands; i++) {
            dim dims[RANK_MOST];
            for (int axis = 0; axis < in[i]->type.rank; axis++) {
                dim *have = &extent[(unsigned char)e->labels[i][axis]], mine = in[i]->type.dim[axis];
                if (pass == 0 && *have == 1) *have = mine;
                if (mine != *have && mine != 1)
                    return onnx_error(e->call, "label '%c' has two extents", e->labels[i][axis]), false;
                dims[axis] = *have;
            }
            if (pass == 1) in[i] = graph_broadcast(g, in[i], in[i]->type.rank, dims);
            if (!in[i]) return false;
        }
    return true;
}

static void put_subscript(struct text *text, const char *name, const char *labels, char *letter)
{
    text_printf(text, "%s[", name);
    for (const char *p = labels; *p; p++) text_printf(text, "%s%c", p > labels ? ", " : "", letter[(unsigned char)*p]);
    text_add(text, "]");
}

/* Takes x's diagonals so that no label stands twice; labels is shortened. */
static struct value *take_diagonals(struct graph *g, struct value *x, char *labels)
{
    for (int i = 0; x && labels[i]; i++)
        for (int k = i + 1; labels[k]; k++) {
            if (labels[k] != labels[i]) continue;
            /* axis k to the end of axis i's block: [.., n, .., n, ..] -> gather along k at i's own position */
            int64_t perm[RANK_MOST];
            int n = 0, rank = x->type.rank;
            dim dims[RANK_MOST], extent = x->type.dim[i];
            for (int a = 0; a < rank; a++)
                if (a != i && a != k) perm[n++] = a;
            perm[n++] = i, perm[n++] = k;
            x = graph_transpose(g, x, perm);
            for (int a = 0; x && a < rank - 2; a++) dims[a] = x->type.dim[a];
            dims[rank - 2] = dim_mul(g->dims, extent, extent);
            x = graph_reshape(g, x, rank - 1, dims);
            struct value *at = build_range(g, DT_i64, extent);
            at = build_mul(g, at, build_extent_value(g, dim_add(g->dims, extent, 1), DT_i64));
            x = graph_gather(g, x, at, rank - 2, 0);
            char label = labels[i];
            memmove(labels + k, labels + k + 1, strlen(labels + k));
            memmove(labels + i, labels + i + 1, strlen(labels + i));
            size_t end = strlen(labels);
            labels[end] = label, labels[end + 1] = 0;
            i = -1;
            break;
        }
    return x;
}

static struct value *build_einsum(struct onnx_call *c)
{
    static const char *const names[OPERANDS_MOST] = {"s", "t", "u", "v"};
    struct graph *g = c->graph;
    struct einsum e = {.call = c, .n_operands = c->n_in};
    struct value *in[OPERANDS_MOST];
    char letter[256] = {0};
    int n_letters = 0;
    bool reduces = false;
    struct text text = {.arena = g->arena};
    const char *equation = onnx_string(c, "equation", "");
    if (c->n_in < 1 || c->n_in > OPERANDS_MOST) return onnx_refuse(c, "%d inputs", c->n_in);
    for (int i = 0; i < c->n_in; i++)
        if (!(in[i] = c->in[i])) return onnx_error(c, "input %d is absent", i);
    if (!parse_equation(&e, equation) || !match_extents(&e, in)) return NULL;
    for (int i = 0; i < c->n_in; i++)
        if (!(in[i] = take_diagonals(g, in[i], e.labels[i]))) return NULL;
    const char *result = e.labels[c->n_in];
    for (int i = c->n_in; i >= 0; i--)
        for (const char *p = e.labels[i]; *p; p++) {
            if (letter[(unsigned char)*p]) continue;
            if (n_letters == 18) return onnx_refuse(c, "more than 18 labels");
            letter[(unsigned char)*p] = (char)('a' + n_letters++);
            reduces |= i < c->n_in;
        }
    put_subscript(&text, "y", result, letter);
    text_add(&text, reduces ? " += " : " = ");
    for (int i = 0; i < c->n_in; i++) {
        if (i) text_add(&text, " * ");
        put_subscript(&text, names[i], e.labels[i], letter);
    }
    return graph_node(g, OP_index, c->n_in, in, 1, (struct attr[]){ATTR_S("meaning", text_string(&text))});
}

const struct onnx_row onnx_einsum_rows[] = {
    {"Einsum", 12, 0, 1, build_einsum},
    {NULL, 0, 0, 0, NULL},
};
