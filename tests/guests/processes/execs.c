/* Executes what its arguments say, in the state that they ask for: `WORD... -- PATH [ARG...]`.
 * Where nothing is executed, prints the error. */
#include "check.h"
#include <pthread.h>

extern char **environ;

static char *no_words[] = {NULL};
static char **words, **variables;
static const char *path;
static int directory = AT_FDCWD, flags, use_execveat;

static void execute(void)
{
    if (use_execveat)
        syscall(SYS_execveat, directory, path, words, variables, flags);
    else
        syscall(SYS_execve, path, words, variables);
    printf("%s: %s\n", path, strerror(errno));
    fflush(stdout);
}

static void *execute_here(void *unused)
{
    execute();
    return unused;
}

static void *wait_for_ever(void *unused)
{
    for (volatile unsigned long i = 0;; i++)
        if (i % 1000 == 0)
            syscall(SYS_getppid);
    return unused;
}

/* argv with `count` numbers behind it. */
static char **many(char **argv, int count)
{
    char **all = calloc(count + 2, sizeof *all);
    CHECK(all);
    all[0] = argv[0];
    for (int i = 0; i < count; i++)
        CHECK(asprintf(&all[i + 1], "%d", i) > 0);
    return all;
}

static char *long_string(size_t length)
{
    char *text = calloc(1, length + 1);
    CHECK(text);
    return memset(text, 'x', length);
}

static void open_at(const char *name, int how)
{
    directory = open(name, how);
    CHECK(directory >= 0);
    use_execveat = 1;
}

static void on_signal(int signal)
{
    (void)signal;
}

static void block_and_raise(int signal)
{
    sigset_t set;
    CHECK(sigemptyset(&set) == 0 && sigaddset(&set, signal) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 && raise(signal) == 0);
}

static void arrange(char *word)
{
    char *value = strchr(word, '=');
    if (value)
        *value++ = 0;
    int number = value ? atoi(value) : 0;
    if (strcmp(word, "in") == 0)
        open_at(value, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else if (strcmp(word, "file") == 0)
        open_at(value, O_RDONLY), flags |= AT_EMPTY_PATH;
    else if (strcmp(word, "closing-file") == 0)
        open_at(value, O_PATH | O_CLOEXEC), flags |= AT_EMPTY_PATH;
    else if (strcmp(word, "descriptor") == 0)
        directory = number, use_execveat = 1;
    else if (strcmp(word, "flags") == 0)
        flags |= (int)strtol(value, NULL, 0), use_execveat = 1;
    else if (strcmp(word, "argv") == 0)
        words = strcmp(value, "null") == 0 ? NULL : strcmp(value, "none") == 0 ? no_words : (char **)8;
    else if (strcmp(word, "envp") == 0)
        variables = strcmp(value, "null") == 0 ? NULL : (char **)8;
    else if (strcmp(word, "name") == 0)
        words[0] = value;
    else if (strcmp(word, "many") == 0)
        words = many(words, number);
    else if (strcmp(word, "long") == 0)
        words[1] = long_string(number);
    else if (strcmp(word, "bad-path") == 0)
        path = (char *)8;
    else if (strcmp(word, "catch") == 0)
        CHECK(signal(number, on_signal) != SIG_ERR);
    else if (strcmp(word, "ignore") == 0)
        CHECK(signal(number, SIG_IGN) != SIG_ERR);
    else if (strcmp(word, "pend") == 0)
        block_and_raise(number);
    else
        CHECK(!"a known word");
}

int main(int argc, char **argv)
{
    int at = 1, thread = 0;
    while (at < argc && strcmp(argv[at], "--") != 0)
        at++;
    CHECK(at + 1 < argc);
    path = argv[at + 1];
    words = argv + at + 1;
    variables = environ;
    for (int i = 1; i < at; i++) {
        if (strcmp(argv[i], "thread") == 0)
            thread = 1;
        else
            arrange(argv[i]);
    }
    if (path == (char *)8) {
        CHECK_ERROR(syscall(SYS_execve, path, words, variables), EFAULT);
        return 0;
    }
    pthread_t id;
    if (thread) {
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&id, NULL, wait_for_ever, NULL) == 0);
        CHECK(pthread_create(&id, NULL, execute_here, NULL) == 0);
        CHECK(pthread_join(id, NULL) == 0);
    } else
        execute();
    return 77;
}
