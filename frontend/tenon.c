/* tenon: the command line. Start reading here.
 *
 * A command is a row below and a function in cmd_NAME.c. Every command reads a model file into a graph (cmd_model.c:
 * frontend/), runs passes of passes/passes.def over it (passes/pipeline.c), and hands the program to codegen/. Only
 * this file and cmd_*.c include more than their own layer and ir/.
 *
 * Exit status: 0 fine, 1 the input has errors, 2 wrong usage; our own mistakes abort.
 */
#include "cmd.h"

#include <string.h>

#ifndef TENON_VERSION
#define TENON_VERSION "0"
#endif

static const struct command commands[] = {
    {"compile", FOR_COMPILE, command_compile, "MODEL -o OUT",
     "make C, an object, a library or an executable of a model",
     "The suffix of OUT chooses what is made: .c (with its header .h), .o, .a, .so, .ll, .s; without one, an "
     "executable\n"
     "that reads .npy, .npz and .pb files and needs neither Tenon nor Python.\n\n"
     "  tenon compile net.onnx -o net                 an executable; ./net --help says how to feed it\n"
     "  tenon compile net.onnx -o net.so              a library: NAME_run, NAME_model, NAME_plain (net.h declares "
     "them)\n"
     "  tenon compile net.tflite -o net.so            the same of a TensorFlow Lite model, float or int8\n"
     "  tenon compile net.tn -o net.c                 C11 to put into your own project, weights beside it\n"
     "  tenon compile net.onnx -o net.o --target=llvm object code through LLVM\n"
     "  tenon compile net.onnx -o net --cpu=x86-64,x86-64-v3,x86-64-v4   one file that uses what its machine has\n"
     "  tenon compile net.onnx --dim batch=1 -o net.so   with a dynamic dimension pinned\n"
     "  tenon compile net.onnx --emit=fuse            what the graph looks like after pass fuse\n"
     "  tenon compile net.onnx -o model.so --abi-json=abi.json   for a caller that wants one plain C function\n"
     "  tenon compile net.onnx -o net.so --report=r.html   also what every kernel call should cost\n"},
    {"run", FOR_RUN, command_run, "MODEL", "compile in memory and run once",
     "Inputs go by the model's own names. Results are printed in short, or written as .npy files.\n\n"
     "  tenon run net.onnx --random 1                         on random input\n"
     "  tenon run net.onnx --input image=photo.npy            on a tensor from a file\n"
     "  tenon run net.onnx --input x=a.npy --output-dir out   writes out/output_0.npy ... and out/names.txt\n"
     "  tenon run net.onnx --random 1 --target=interpreter    by the slow interpreter that defines what is right\n"},
    {"check", FOR_CHECK, command_check, "MODEL...", "read, verify and describe: layers, shapes, FLOPs, memory",
     "Reports everything that is wrong with a model, or a table of its layers and what they cost.\n\n"
     "  tenon check net.onnx                  the table; then arena, weights, and what makes the memory's peak\n"
     "  tenon check net.onnx --dim batch=8    the same for another size of a dynamic dimension\n"
     "  tenon check net.tn --stop-after=lower the loops before they are scheduled\n"
     "  tenon check a.onnx b.tflite --json    for scripts\n"},
    {"bench", FOR_BENCH, command_bench, "MODEL", "time a model against this machine's own peak",
     "Compiles the model, runs it on random input and reports latency, memory, FLOP/s and their part of the peak that\n"
     "this machine reaches on multiply-adds (measured in a fraction of a second).\n\n"
     "  tenon bench net.onnx                  the C compiler's code\n"
     "  tenon bench net.onnx --target=llvm    LLVM's\n"
     "  tenon bench net.onnx --runs 100 --json\n"
     "  tenon bench net.onnx --layers         every kernel call: time, rate, what bounds it; the longest first\n"
     "  tenon bench net.onnx --report=r.html  the same as a page: roofline, memory, what was fused, stored and why\n"
     "  tenon bench net.onnx --trace=t.json --threads=4   one run as chrome://tracing shows it\n\n"
     "Calls are timed in their place, after the runs that the totals come from; without these options nothing in the code\n"
     "takes times.\n"},
    {"test", FOR_TEST, command_test, "DIR...", "run ONNX backend cases",
     "DIR is a case (model.onnx and test_data_set_0/input_0.pb ...) or a folder of cases. One line per case:\n"
     "`pass|fail|skip NAME reason`; the last line counts them. A case is skipped only when the model is refused with "
     "a\n"
     "message. Exit status 1 when one failed.\n\n"
     "  tenon test cases/node                       by compiled C\n"
     "  tenon test cases/node --target=interpreter  by the interpreter: no compiler needed\n"
     "  tenon test cases/node --target=all          by interpreter, C and LLVM: all must pass\n"},
    {"verify", FOR_VERIFY, command_verify, "MODEL", "compare every stage with the interpreter",
     "Runs the model's graph as it was read, then the unit after every pass, then the compiled code, all on the same\n"
     "random input, and names the first stage, kernel and value that differs. For finding out why an answer is "
     "wrong.\n\n"
     "  tenon verify net.onnx\n"
     "  tenon verify net.onnx --target=llvm --dim batch=2\n"},
    {"tune", FOR_TUNE, command_tune, "MODEL -o FILE", "measure which schedules are fastest here, into a tuning file",
     "Compiles the model with other schedules for all of its kernels, round by round, and times every kernel inside the\n"
     "whole model, beside the untuned one. What is faster beyond noise, and once more when all of it is put together, is\n"
     "written to FILE, so the tuned model is never slower. FILE then makes the same code on any machine.\n"
     "Ctrl-C ends early and keeps what was found. Give the --target, --cpu, --threads and --dim of the later use.\n\n"
     "  tenon tune net.onnx -o net.tune --target=llvm\n"
     "  tenon compile net.onnx -o net.so --target=llvm --tuning=net.tune\n"
     "  tenon tune net.onnx -o net.tune --size length=300   a dimension stays open, timed at 300\n"
     "  tenon tune other.onnx --tuning=net.tune -o both.tune --target=llvm --budget=300 --top=30\n"
     "  tenon tune --machine -o here.tune          only what the cost model assumes: multiply-adds, loads, caches\n"},
    {"quantize", FOR_QUANTIZE, command_quantize, "MODEL --data=DIR|--weights=int8|int4|f16|bf16 -o OUT.tn", "make a float model one of bytes, by samples of its inputs, or its weights",
     "Finds the range of every value that a convolution or matrix product reads, makes its weights i8 and its input u8, and\n"
     "writes a model with `quantize` and `dequantize` around them, which every other command takes and compiles to exact\n"
     "integer kernels. Every other sample is held back: on those the loss of the whole model is measured, and the layers\n"
     "that lose most stay float until it is within --max-loss. A model above the bound is never written (exit status 1).\n"
     "Layers that bytes do not make faster on --cpu, by the cost model, stay float from the start: with all of them the\n"
     "model written is the float one.\n\n"
     "  tenon quantize net.onnx --data=samples -o net8.tn     samples/*.npy, in the order of their names\n"
     "  tenon quantize net.onnx --data=all.npz -o net8.tn     arrays with one axis more in front: the samples\n"
     "  tenon quantize net.onnx --data=samples -o net8.tn --max-loss=0.01 --report=net8.html\n"
     "  tenon quantize net.onnx --data=samples -o net8.tn --cpu=x86-64-v3    for machines with AVX2\n"
     "  tenon bench net8.tn --target=llvm                     how much faster it is\n"
     "  tenon quantize net.onnx --weights=int4 -o net4.tn     only weights, of products with few rows; no samples needed\n"
     "  tenon quantize net.onnx --weights=f16 -o net16.tn     the same as 16-bit floats (or bf16): half the bytes, hardly a loss\n"
     "  tenon quantize net.onnx --weights=int4:32 -o net4.tn --data=samples   finer scales; the loss is measured and bounded\n\n"
     "A .npz file has the inputs by their names; a .npy file is one input's, of a model with several INPUT_key.npy.\n"},
    {"devices", FOR_DEVICES, command_devices, "[NUMBER]", "the OpenCL devices of this machine, and what they can do",
     "Lists every device with its number and what was found by compiling and running small kernels on it: extension\n"
     "strings lie both ways, and where one does, a note says so. Exit status 1 where there is no device.\n\n"
     "  tenon devices                        all of them\n"
     "  tenon devices 0 --json               one, for scripts\n"
     "  tenon devices 0 -o there.device      its record as a text, for compiling where the device is not\n"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
    fputs("tenon compiles neural networks: ONNX (.onnx), TensorFlow Lite (.tflite), its own language (.tn) become C, native code or\n"
          "executables that need nothing else.\n\nusage: tenon COMMAND [OPTION]... MODEL\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; i++) fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`tenon COMMAND --help` explains a command, with examples. A first try:\n"
          "  tenon check net.onnx && tenon compile net.onnx -o net && ./net --random 1\n",
          out);
}

static const struct command *find_command(const char *name)
{
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!strcmp(name, names[i])) return &commands[i];
    }
    const char *near = diag_suggest(name, names, N_COMMANDS);
    fprintf(stderr, "tenon: there is no command '%s'", name);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fputs(" (tenon --help lists them)\n", stderr);
    return NULL;
}

static int run_command(const struct command *command, struct session *session, int argc, char **argv)
{
    struct options options;
    if (!options_read(session, command->bit, argc, argv, &options)) return STATUS_USAGE;
    if (options.help) {
        printf("usage: tenon %s [OPTION]... %s\n\n%s: %s\n\n%s\n", command->name, command->arguments, command->name,
               command->summary, command->help);
        options_help(command->bit, stdout);
        return STATUS_OK;
    }
    if (options.list_passes) {
        pipeline_list(stdout);
        return STATUS_OK;
    }
    bool many = command->bit & (FOR_CHECK | FOR_TEST), none = options.machine || command->bit == FOR_DEVICES;
    if ((options.n_paths == 0 && !none) || (!many && options.n_paths > 1)) {
        fprintf(stderr, "tenon: usage: tenon %s [OPTION]... %s (tenon %s --help explains)\n", command->name,
                command->arguments, command->name);
        return STATUS_USAGE;
    }
    bool ready = device_open(session, &options) && (!options.tuning || tuning_open(session, &options));
    int status = ready ? command->run(session, &options) : STATUS_INPUT;
    progress_show(session, NULL);
    fflush(stdout);
    if (ready && options.tuning && status == STATUS_OK) tuning_remark(&options);
    diag_print(session->diag, stderr);
    return status == STATUS_OK && diag_errors(session->diag) ? STATUS_INPUT : status;
}

int main(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? STATUS_USAGE : STATUS_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("tenon %s%s\n", TENON_VERSION, llvm_is_built_in() ? " (with LLVM)" : "");
        return STATUS_OK;
    }
    const struct command *command = find_command(argv[1]);
    if (!command) return STATUS_USAGE;
    struct arena *arena = arena_new();
    struct session session = {.arena = arena, .diag = diag_new(arena), .dims = dims_new(arena)};
    int status = run_command(command, &session, argc - 2, argv + 2);
    arena_free(arena);
    return status;
}
