/* The grammar of the model language (bison, reentrant, with places and its own error messages).
 *
 * A text is a list of statements; build.c says which may stand where. Types are expressions. A statement always ends
 * with NEWLINE, which the scanner puts in; after a syntax error reading goes on behind the next one.
 */
%code requires {
#include "ast.h"
}
%code {
#include <string.h>

static void model_error(const struct place *place, void *scanner, struct parse *reader, const char *message);
}
%define api.pure full
%define api.prefix {model_}
%define api.location.type {struct place}
%define parse.error custom
%locations
%param { void *scanner }
%parse-param { struct parse *reader }
%expect 0

%union {
    const char *text;
    double real;
    uint64_t number;
    struct ast *ast;
}

%define parse.lac full
%code provides {
int model_lex(MODEL_STYPE *value, struct place *place, void *scanner);
}

%{
#define YYLLOC_DEFAULT(current, rhs, n) ((current) = (n) ? YYRHSLOC(rhs, 1) : YYRHSLOC(rhs, 0))
#define YYMAXDEPTH 20000
%}

%token START_FILE START_EXPRESSION
%token END 0 "end of the text"
%token NEWLINE "end of the line"
%token <text> NAME "a name" STRING "a string" LET "'let'" SCOPE "the name of a scope"
%token <real> FLOAT "a number"
%token <number> INT "an integer"
%token AS "'as'" CONST "'const'" DEF "'def'" DIM "'dim'" ELSE "'else'" FALSE "'false'" FOR "'for'" GRAPH "'graph'"
%token IF "'if'" IMPORT "'import'" IN "'in'" MODEL "'model'" PARAM "'param'" RESERVED "a reserved word"
%token PLACE "'place'" RETURN "'return'" SCAN "'scan'" TRUE "'true'" WEIGHTS "'weights'" WHILE "'while'"
%token ARROW "'->'" DOTDOT "'..'" EQ "'=='" NE "'!='" LE "'<='" GE "'>='" AND "'&&'" OR "'||'" POW "'**'"

%type <ast> body block statement items item formals formal formal_list range expression simple prefix postfix
%type <ast> primary arguments argument argument_list subscripts subscript subscript_list part elements element_list
%type <ast> if_expression bindings binding optional_default optional_type
%type <text> optional_string

%left OR
%left AND
%left EQ NE
%left '<' '>' LE GE
%left '+' '-'
%left '*' '/' '%'

%%
text: START_FILE body { reader->result = $2; }
    | START_EXPRESSION expression end { reader->result = $2; }
    ;
end: %empty | NEWLINE ;

body: %empty                    { $$ = ast_new(reader, AST_BLOCK, @$); }
    | body NEWLINE              { $$ = $1; }
    | body statement NEWLINE    { $$ = ast_add(reader, $1, $2); }
    | body error NEWLINE        { $$ = $1; yyerrok; if (diag_full(reader->diag)) YYABORT; }
    ;
block: '{' body '}'             { $$ = $2; $$->place = @1; }
    | '{' body error '}'        { $$ = $2; $$->place = @1; yyerrok; }
    ;

statement: items                { $$ = $1; $$->kind = AST_YIELD; }
    | items '=' items           { $$ = ast_make(reader, AST_ASSIGN, @1, $1, $3, NULL); }
    | RETURN                    { $$ = ast_new(reader, AST_RETURN, @1); }
    | RETURN items              { $$ = $2; $$->kind = AST_RETURN; $$->place = @1; }
    | LET                       { $$ = ast_named(reader, AST_LET, @1, $1); }
    | PARAM NAME ':' expression { $$ = ast_named(reader, AST_PARAM, @2, $2); ast_add(reader, $$, $4); }
    | PARAM NAME ':' expression '=' expression
                                { $$ = ast_named(reader, AST_PARAM, @2, $2); ast_add(reader, ast_add(reader, $$, $4), $6); }
    | CONST NAME '=' expression { $$ = ast_named(reader, AST_CONST, @2, $2); ast_add(reader, $$, $4); }
    | CONST NAME ':' expression '=' expression
                                { $$ = ast_named(reader, AST_CONST, @2, $2); ast_add(reader, ast_add(reader, $$, $6), $4); }
    | WEIGHTS STRING            { $$ = ast_named(reader, AST_WEIGHTS, @2, $2); }
    | FOR NAME IN range block   { $$ = $4; $$->kind = AST_FOR; $$->place = @2; $$->text = $2; $$->kid[1] = $5;
                                  if ($5->depth >= $$->depth) $$->depth = $5->depth + 1; }
    | PLACE NAME block          { $$ = ast_make(reader, AST_PLACE, @2, $3, NULL, NULL); $$->text = $2; }
    | IMPORT NAME               { $$ = ast_named(reader, AST_IMPORT, @2, $2); $$->name = $2; }
    | IMPORT NAME AS NAME       { $$ = ast_named(reader, AST_IMPORT, @2, $2); $$->name = $4; }
    | IMPORT STRING AS NAME     { $$ = ast_named(reader, AST_IMPORT, @2, $2); $$->name = $4; }
    | DIM NAME                  { $$ = ast_named(reader, AST_DIM, @2, $2); }
    | DIM NAME IN simple DOTDOT simple
                                { $$ = ast_named(reader, AST_DIM, @2, $2); ast_add(reader, ast_add(reader, $$, $4), $6); }
    | DEF NAME '(' formals ')' block
                                { $$ = ast_make(reader, AST_DEF, @2, $4, $6, NULL); $$->text = $2; }
    | MODEL NAME '(' formals ')' ARROW '(' formals ')' block
                                { $$ = ast_make(reader, AST_MODEL, @2, $4, $8, $10); $$->text = $2; }
    ;

items: item                     { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | items ',' item            { $$ = ast_add(reader, $1, $3); }
    ;
item: expression
    | expression ':' expression { $$ = ast_make(reader, AST_TYPED, @1, $1, $3, NULL); }
    ;

formals: %empty                 { $$ = ast_new(reader, AST_LIST, @$); }
    | formal_list
    | formal_list ','
    ;
formal_list: formal             { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | formal_list ',' formal    { $$ = ast_add(reader, $1, $3); }
    ;
formal: NAME optional_string optional_type optional_default
                                { $$ = ast_named(reader, AST_FORMAL, @1, $1); $$->name = $2;
                                  ast_add(reader, ast_add(reader, $$, $3), $4); }
    ;
optional_string: %empty { $$ = NULL; } | STRING ;
optional_type: %empty { $$ = NULL; } | ':' expression { $$ = $2; } ;
optional_default: %empty { $$ = NULL; } | '=' expression { $$ = $2; } ;

/* The kids of AST_FOR with the place of the body still empty. */
range: simple                   { $$ = ast_new(reader, AST_LIST, @1); ast_add(reader, ast_add(reader, $$, $1), NULL); }
    | simple DOTDOT simple      { $$ = ast_new(reader, AST_LIST, @1); ast_add(reader, ast_add(reader, ast_add(reader, $$, $1), NULL), $3); }
    ;

expression: simple
    | if_expression
    | WHILE '(' bindings ')' simple block { $$ = ast_make(reader, AST_WHILE, @1, $3, $5, $6); }
    | SCAN '(' bindings ')' block         { $$ = ast_make(reader, AST_SCAN, @1, $3, $5, NULL); }
    | GRAPH '(' formals ')' block         { $$ = ast_make(reader, AST_GRAPH, @1, $3, $5, NULL); }
    ;
if_expression: IF simple block            { $$ = ast_make(reader, AST_IF, @1, $2, $3, NULL); }
    | IF simple block ELSE block          { $$ = ast_make(reader, AST_IF, @1, $2, $3, $5); }
    | IF simple block ELSE if_expression  { $$ = ast_make(reader, AST_IF, @1, $2, $3, $5); }
    ;
bindings: binding                         { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | bindings ',' binding                { $$ = ast_add(reader, $1, $3); }
    ;
binding: NAME optional_type '=' expression
                                { $$ = ast_named(reader, AST_BINDING, @1, $1); ast_add(reader, ast_add(reader, $$, $4), $2); }
    | NAME IN expression        { $$ = ast_named(reader, AST_SEQUENCE, @1, $1); ast_add(reader, $$, $3); }
    ;

simple: prefix
    | simple OR simple          { $$ = ast_binary(reader, @2, AST_OR, $1, $3); }
    | simple AND simple         { $$ = ast_binary(reader, @2, AST_AND, $1, $3); }
    | simple EQ simple          { $$ = ast_binary(reader, @2, AST_EQ, $1, $3); }
    | simple NE simple          { $$ = ast_binary(reader, @2, AST_NE, $1, $3); }
    | simple '<' simple         { $$ = ast_binary(reader, @2, AST_LT, $1, $3); }
    | simple '>' simple         { $$ = ast_binary(reader, @2, AST_GT, $1, $3); }
    | simple LE simple          { $$ = ast_binary(reader, @2, AST_LE, $1, $3); }
    | simple GE simple          { $$ = ast_binary(reader, @2, AST_GE, $1, $3); }
    | simple '+' simple         { $$ = ast_binary(reader, @2, AST_ADD, $1, $3); }
    | simple '-' simple         { $$ = ast_binary(reader, @2, AST_SUB, $1, $3); }
    | simple '*' simple         { $$ = ast_binary(reader, @2, AST_MUL, $1, $3); }
    | simple '/' simple         { $$ = ast_binary(reader, @2, AST_DIV, $1, $3); }
    | simple '%' simple         { $$ = ast_binary(reader, @2, AST_MOD, $1, $3); }
    ;
prefix: postfix
    | '-' prefix                { $$ = ast_unary(reader, @1, AST_NEG, $2); }
    | '!' prefix                { $$ = ast_unary(reader, @1, AST_NOT, $2); }
    | postfix POW prefix        { $$ = ast_binary(reader, @2, AST_POW, $1, $3); }
    ;
postfix: primary
    | postfix '[' subscripts ']' { $$ = ast_make(reader, AST_INDEX, @1, $1, $3, NULL); }
    | postfix '@' SCOPE         { $$ = $1; if ($1->kind == AST_CALL && !$1->name) $$->name = $3;
                                  else diag_error(reader->diag, @2, "a scope is given to a call, as in f(x) @ name"); }
    ;
primary: NAME                   { $$ = ast_named(reader, AST_NAME, @1, $1); }
    | INT                       { $$ = ast_new(reader, AST_INT, @1); $$->number = $1; }
    | FLOAT                     { $$ = ast_new(reader, AST_FLOAT, @1); $$->real = $1; }
    | STRING                    { $$ = ast_named(reader, AST_STRING, @1, $1); }
    | TRUE                      { $$ = ast_new(reader, AST_BOOL, @1); $$->number = 1; }
    | FALSE                     { $$ = ast_new(reader, AST_BOOL, @1); }
    | '(' expression ')'        { $$ = $2; }
    | '[' elements ']'          { $$ = $2; $$->place = @1; }
    | '[' expression FOR NAME IN range ']'
                                { $$ = ast_make(reader, AST_EACH, @4, $2, $6->kid[0], $6->n > 2 ? $6->kid[2] : NULL); $$->text = $4; }
    | NAME '(' arguments ')'    { $$ = ast_make(reader, AST_CALL, @1, $3, NULL, NULL); $$->text = $1; }
    ;
elements: %empty                { $$ = ast_new(reader, AST_LIST, @$); }
    | element_list
    | element_list ','
    ;
element_list: expression        { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | element_list ',' expression { $$ = ast_add(reader, $1, $3); }
    ;
arguments: %empty               { $$ = ast_new(reader, AST_LIST, @$); }
    | argument_list
    | argument_list ','
    ;
argument_list: argument         { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | argument_list ',' argument { $$ = ast_add(reader, $1, $3); }
    ;
argument: expression
    | NAME ':' expression       { $$ = ast_named(reader, AST_NAMED, @1, $1); ast_add(reader, $$, $3); }
    ;
subscripts: %empty              { $$ = ast_new(reader, AST_LIST, @$); }
    | subscript_list
    ;
subscript_list: subscript       { $$ = ast_make(reader, AST_LIST, @1, $1, NULL, NULL); }
    | subscript_list ',' subscript { $$ = ast_add(reader, $1, $3); }
    ;
part: %empty { $$ = NULL; } | expression ;
subscript: expression
    | part ':' part             { $$ = ast_new(reader, AST_SLICE, @2); ast_add(reader, $$, $1); ast_add(reader, $$, $3); ast_add(reader, $$, NULL); }
    | part ':' part ':' part    { $$ = ast_new(reader, AST_SLICE, @2); ast_add(reader, $$, $1); ast_add(reader, $$, $3); ast_add(reader, $$, $5); }
    ;
%%

static void model_error(const struct place *place, void *scanner, struct parse *reader, const char *message)
{
    (void)scanner;
    diag_error(reader->diag, *place, "%s", message); /* only for a stack that is too deep */
}

/* What may stand where an expression, an operator or a statement may is said in one word, not listed. */
enum group { GROUP_NONE, GROUP_EXPRESSION, GROUP_OPERATOR, GROUP_STATEMENT };

static enum group symbol_group(yysymbol_kind_t symbol)
{
    switch ((int)symbol) {
    case YYSYMBOL_INT: case YYSYMBOL_FLOAT: case YYSYMBOL_TRUE: case YYSYMBOL_FALSE: case YYSYMBOL_IF:
    case YYSYMBOL_WHILE: case YYSYMBOL_SCAN: case YYSYMBOL_GRAPH: return GROUP_EXPRESSION;
    case YYSYMBOL_OR: case YYSYMBOL_AND: case YYSYMBOL_EQ: case YYSYMBOL_NE: case YYSYMBOL_LE: case YYSYMBOL_GE:
    case YYSYMBOL_POW: return GROUP_OPERATOR;
    case YYSYMBOL_RETURN: case YYSYMBOL_LET: case YYSYMBOL_PARAM: case YYSYMBOL_CONST: case YYSYMBOL_WEIGHTS:
    case YYSYMBOL_FOR: case YYSYMBOL_PLACE: case YYSYMBOL_IMPORT: case YYSYMBOL_DIM: case YYSYMBOL_DEF: case YYSYMBOL_MODEL: return GROUP_STATEMENT;
    default: break;
    }
    const char *name = yysymbol_name(symbol);
    if (name[0] == '\'' && name[2] == '\'' && strchr("+-*/%<>@", name[1])) return GROUP_OPERATOR;
    return GROUP_NONE;
}

/* "a, b or c": what the parser could have gone on with. */
static void expected_words(struct text *words, const yysymbol_kind_t *symbol, int n)
{
    enum { MOST = 60 };
    const char *list[MOST];
    int count = 0;
    bool seen[4] = {false};
    for (int i = 0; i < n; i++) seen[symbol_group(symbol[i])] = true;
    if (seen[GROUP_STATEMENT]) list[count++] = "a statement";
    else if (seen[GROUP_EXPRESSION]) list[count++] = "an expression";
    for (int i = 0; i < n && count < MOST; i++) {
        if (symbol_group(symbol[i]) != GROUP_NONE || symbol[i] == YYSYMBOL_NEWLINE) continue;
        const char *name = yysymbol_name(symbol[i]);
        bool starts = symbol[i] == YYSYMBOL_NAME || symbol[i] == YYSYMBOL_STRING || !strcmp(name, "'('") || !strcmp(name, "'['") || !strcmp(name, "'!'");
        if (starts && (seen[GROUP_EXPRESSION] || seen[GROUP_OPERATOR])) continue;
        list[count++] = name;
    }
    for (int i = 0; i < n; i++)
        if (symbol[i] == YYSYMBOL_NEWLINE && !seen[GROUP_STATEMENT] && count < MOST) list[count++] = yysymbol_name(symbol[i]);
    for (int i = 0; i < count; i++) text_printf(words, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", list[i]);
}

static int yyreport_syntax_error(const yypcontext_t *context, void *scanner, struct parse *reader)
{
    (void)scanner;
    if (reader->too_deep) return 0; /* what follows from brackets that were not counted */
    yysymbol_kind_t found = yypcontext_token(context), expected[100];
    int n = yypcontext_expected_tokens(context, expected, 100);
    struct text words = {.arena = reader->arena};
    text_add(&words, "expected ");
    size_t before = words.n;
    expected_words(&words, expected, n);
    if (words.n == before) text_add(&words, "something else");
    const char *name = found == YYSYMBOL_YYEMPTY ? "nothing" : yysymbol_name(found);
    bool show = found == YYSYMBOL_NAME || found == YYSYMBOL_INT || found == YYSYMBOL_FLOAT || found == YYSYMBOL_RESERVED;
    if (show) text_printf(&words, ", found '%s'", reader->token);
    else text_printf(&words, ", found %s", name);
    diag_error(reader->diag, *yypcontext_location(context), "%s", text_string(&words));
    return 0;
}
