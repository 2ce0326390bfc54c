/* Types and lanes of each expression kind.  See prog_rules.h and exprs.def. */
#include "prog_rules.h"
#include "lane.h"

bool lanes_are_valid(int lanes)
{
    return lanes >= 1 && lanes <= LANES_MOST && (lanes & (lanes - 1)) == 0;
}

static bool is_number(enum dtype dt)
{
    return dt != DT_bool;
}

static bool is_word(enum dtype dt) /* what bit operations work on */
{
    return dt == DT_bool || (dtype_is_int(dt) && dt != DT_index);
}

static bool takes(enum expr_op op, enum dtype dt)
{
    switch (op) {
    case EX_add: case EX_sub: case EX_mul: case EX_div: case EX_mod: case EX_rem: case EX_min: case EX_max:
    case EX_neg: case EX_abs: case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: return is_number(dt);
    case EX_pow: return is_number(dt) && dt != DT_index;
    case EX_and: case EX_or: case EX_xor: case EX_not: return is_word(dt);
    case EX_shl: case EX_shr: return is_word(dt) && dt != DT_bool;
    case EX_fma: case EX_floor: case EX_ceil: case EX_round: case EX_trunc: case EX_sqrt: case EX_exp: case EX_log:
    case EX_sin: case EX_cos: case EX_tan: case EX_asin: case EX_acos: case EX_atan: case EX_sinh: case EX_cosh:
    case EX_tanh: case EX_asinh: case EX_acosh: case EX_atanh: case EX_erf: case EX_sigmoid: case EX_is_nan: case EX_is_inf:
        return dtype_is_float(dt);
    case EX_ramp: return dtype_is_int(dt);
    case EX_pack: return dt == DT_f32;
    case EX_dot4: case EX_dot4_sat: case EX_dot2: return dt == DT_i32;
    case EX_from_f16: return dt == DT_u16;
    case EX_to_f16: return dt == DT_f32;
    case EX_bits: return dt != DT_bool && dt != DT_index;
    case EX_eq: case EX_lt: case EX_le: case EX_select: case EX_cast: case EX_splat: return true;
    case EX_const: case EX_var: case EX_dim: case EX_load: case EX_COUNT: break;
    }
    return false;
}

static const char *load_fault(const struct expr *e)
{
    const struct expr *index = e->arg[0], *condition = e->arg[1], *otherwise = e->arg[2];
    if (!e->buf) return "has no buffer";
    bool as_bits = dtype_class(e->dt) == DT_UNSIGNED && dtype_bytes(e->dt) == dtype_bytes(e->buf->dt) && e->buf->dt != DT_bool;
    if (e->dt != e->buf->dt && !as_bits) return "has neither the buffer's type nor the unsigned one of its size";
    if (!index || index->dt != DT_index || index->lanes != 1) return "wants a scalar index as subscript";
    if (e->lanes == 1 ? e->imm != 1 : e->imm == 0) return "has a stride its lanes do not go with";
    if (!condition) return otherwise ? "has a value where not loaded but no condition" : NULL;
    if (condition->lanes != 1) return "wants one guard or count for all lanes";
    if (condition->dt != (e->masked ? DT_index : DT_bool)) return e->masked ? "wants an index as count" : "wants a bool as guard";
    if (!otherwise) return "has a condition but no value where not loaded";
    return otherwise->dt != e->dt || otherwise->lanes != e->lanes ? "has another type where not loaded" : NULL;
}

static const char *leaf_fault(const struct expr *e)
{
    if (e->arg[0] || e->arg[1] || e->arg[2]) return "is a leaf with operands";
    if (e->op == EX_var) {
        if (!e->var) return "has no variable";
        return e->var->dt != e->dt || e->var->lanes != e->lanes ? "has another type than its variable" : NULL;
    }
    if (e->lanes != 1) return "is a constant of several lanes";
    if (e->op == EX_dim) return e->dt != DT_index ? "is a dim but no index" : NULL;
    if (dtype_is_float(e->dt)) return NULL;
    if (e->dt == DT_index && !dim_is_const(e->imm)) return "is no plain number";
    return lane_wrap(e->dt, e->imm) != e->imm ? "does not fit its type" : NULL;
}

/* Kinds that change lanes. */
static const char *lanes_fault(const struct expr *e)
{
    const struct expr *a = e->arg[0];
    bool widens = e->op == EX_splat || e->op == EX_ramp;
    if (a->dt != e->dt) return "changes the type";
    if ((widens ? a->lanes : e->lanes) != 1) return widens ? "wants a scalar" : "makes a scalar";
    return (widens ? e->lanes : a->lanes) < 2 ? "wants several lanes" : NULL;
}

static const char *pack_fault(const struct expr *e)
{
    const struct expr *a = e->arg[0], *b = e->arg[1], *c = e->arg[2];
    if (b->dt != a->dt || b->lanes != a->lanes || a->lanes < 2) return "has operands of different types, or no lanes";
    if (e->dt != DT_u8 || e->lanes != 2 * a->lanes) return "gives bytes, twice as many lanes";
    return c->op != EX_const || c->dt != DT_i32 || c->imm < 0 || c->imm > 255 ? "wants a plain number of 0 to 255 to add" : NULL;
}

const char *expr_fault(const struct expr *e)
{
    if (!lanes_are_valid(e->lanes)) return "has a number of lanes that is no power of two up to 256";
    if (e->op == EX_load) return load_fault(e);
    if (e->op == EX_const || e->op == EX_var || e->op == EX_dim) return leaf_fault(e);
    int n = expr_row(e->op)->args;
    for (int i = 0; i < 3; i++)
        if ((i < n) != (e->arg[i] != NULL)) return "has the wrong number of operands";
    const struct expr *a = e->arg[0], *last = e->arg[n - 1];
    enum dtype dt = e->op == EX_select ? last->dt : a->dt;
    if (!takes(e->op, dt)) return "does not take this type";
    if (e->op == EX_splat || e->op == EX_ramp || (e->op >= EX_hadd && e->op <= EX_hmax)) return lanes_fault(e);
    if (e->op == EX_pack) return pack_fault(e);
    for (int i = 0; i < n; i++) {
        if (e->op == EX_bits && e->lanes == 1) break; /* may take lanes together */
        if (e->arg[i]->lanes != e->lanes) return "has operands of other lanes";
        if (e->arg[i]->dt != (e->op == EX_select && i == 0 ? DT_bool : dt)) return "has operands of different types";
    }
    if (e->op == EX_cast) return a->dt == e->dt ? "casts to the same type" : NULL;
    if (e->op == EX_bits) {
        if (!takes(EX_bits, e->dt)) return "does not give this type";
        return e->lanes * dtype_bytes(e->dt) != a->lanes * dtype_bytes(a->dt) ? "has another size than its operand" : NULL;
    }
    if (e->op == EX_from_f16 || e->op == EX_to_f16) return e->dt != (e->op == EX_to_f16 ? DT_u16 : DT_f32) ? "gives another type" : NULL;
    bool gives_bool = e->op == EX_eq || e->op == EX_lt || e->op == EX_le || e->op == EX_is_nan || e->op == EX_is_inf;
    return e->dt != (gives_bool ? DT_bool : dt) ? "has another type than its operands" : NULL;
}
