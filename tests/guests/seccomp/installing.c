/* What can be installed, by whom, and what is refused with which error. */
#include "filters.h"
#include <pthread.h>
#include <linux/capability.h>

static struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    CHECK(syscall(SYS_capset, &header, none) == 0);
}

static void privileges_are_asked_for(void)
{
    drop_capabilities();
    CHECK_ERROR(install(&allow, 1, 0), EACCES);
    CHECK_ERROR(install(NULL, 1, 0), EACCES);
    CHECK_ERROR(install(&allow, 0, 0), EINVAL);
    CHECK_ERROR(seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
    struct sock_fprog program = {1, &allow};
    CHECK_ERROR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), EACCES);
    give_up_privileges();
    CHECK(install(&allow, 1, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void wrong_arguments(void)
{
    CHECK_ERROR(seccomp(77, 0, NULL), EINVAL);
    CHECK_ERROR(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    CHECK_ERROR(seccomp(SECCOMP_SET_MODE_STRICT, 0, &allow), EINVAL);
    CHECK_ERROR(install(&allow, 1, 1u << 20), EINVAL);
    CHECK_ERROR(install(NULL, 1, 0), EINVAL);
    CHECK_ERROR(install((void *)8, 1, 0), EFAULT);
    CHECK_ERROR(install(&allow, 4097, 0), EINVAL);
    CHECK_ERROR(prctl(PR_SET_SECCOMP, 3, 0), EINVAL);
    CHECK_ERROR(prctl(PR_SET_SECCOMP, 0, 0), EINVAL);
}

static void actions_that_are_there(void)
{
    unsigned there[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                        SECCOMP_RET_ERRNO,        SECCOMP_RET_TRACE,       SECCOMP_RET_LOG,
                        SECCOMP_RET_ALLOW},
             others[] = {1, SECCOMP_RET_ERRNO | 1, 0x00010000, 0x7ffe0000};
    for (unsigned i = 0; i < sizeof there / sizeof *there; i++)
        CHECK(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &there[i]) == 0);
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        CHECK_ERROR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &others[i]), EOPNOTSUPP);
    CHECK_ERROR(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &there[0]), EINVAL);
    CHECK_ERROR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
}

static void modes_do_not_mix(void)
{
    CHECK(prctl(PR_GET_SECCOMP) == 0);
    CHECK(install(&allow, 1, 0) == 0);
    CHECK(prctl(PR_GET_SECCOMP) == 2);
    CHECK_ERROR(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
    CHECK_ERROR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
}

/* How many of these fit, which is as the kernel translates them. */
static int how_many_fit(struct sock_filter *code, int length)
{
    int count = 0;
    while (install(code, length, 0) == 0)
        count++;
    CHECK(errno == ENOMEM);
    return count;
}

static void filters_until_there_is_no_room(void)
{
    struct sock_filter long_one[4096];
    for (int i = 0; i < 4096; i++)
        long_one[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, i);
    long_one[4095] = allow;
    printf("long ones: %d", how_many_fit(long_one, 4096));
    printf(", then short ones: %d\n", how_many_fit(&allow, 1));
    fflush(stdout);
}

/* A process with another filter on each thread, for SECCOMP_FILTER_FLAG_TSYNC. */
static pthread_barrier_t barrier;
static pid_t second;
static long mode_of_second, answer_to_second;
static int own_filter;

static void meet(void) { pthread_barrier_wait(&barrier); }

static void *second_thread(void *unused)
{
    second = syscall(SYS_gettid);
    if (own_filter)
        CHECK(answer_call_with(NOBODYS_CALL + 1, SECCOMP_RET_ERRNO | EDOM, 0) == 0);
    meet();
    meet();
    mode_of_second = prctl(PR_GET_SECCOMP) * 10 + prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    errno = 0;
    syscall(NOBODYS_CALL);
    answer_to_second = errno;
    return unused;
}

static long sync_with_second(unsigned flags)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, second_thread, NULL) == 0);
    meet();
    give_up_privileges();
    errno = 0;
    long answer = answer_call_with(NOBODYS_CALL, SECCOMP_RET_ERRNO | EXDEV,
                                   SECCOMP_FILTER_FLAG_TSYNC | flags);
    if (answer == -1)
        answer = -errno;
    meet();
    CHECK(pthread_join(thread, NULL) == 0);
    return answer;
}

static void all_threads_get_a_filter(void)
{
    CHECK(sync_with_second(0) == 0);
    CHECK(mode_of_second == 21 && answer_to_second == EXDEV);
}

static void threads_share_what_the_first_had(void)
{
    CHECK(answer_call_with(NOBODYS_CALL + 2, SECCOMP_RET_ERRNO | EDOM, 0) == 0);
    CHECK(sync_with_second(0) == 0);
    CHECK(mode_of_second == 21 && answer_to_second == EXDEV);
}

static void a_thread_with_another_filter_is_named(void)
{
    own_filter = 1;
    CHECK(sync_with_second(0) == second);
    CHECK(mode_of_second == 20 && answer_to_second == ENOSYS);
    CHECK_ERROR(syscall(NOBODYS_CALL), ENOSYS);
}

static void a_thread_with_another_filter_is_an_error(void)
{
    own_filter = 1;
    CHECK(sync_with_second(SECCOMP_FILTER_FLAG_TSYNC_ESRCH) == -ESRCH);
    CHECK(answer_to_second == ENOSYS);
}

static void threads_that_were_there_keep_their_own(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, second_thread, NULL) == 0);
    meet();
    CHECK(answer_call_with(NOBODYS_CALL, SECCOMP_RET_ERRNO | EXDEV, 0) == 0);
    meet();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(mode_of_second == 0 && answer_to_second == ENOSYS);
    /* Those that come later inherit. */
    CHECK(pthread_create(&thread, NULL, second_thread, NULL) == 0);
    meet();
    meet();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(mode_of_second == 20 && answer_to_second == EXDEV);
}

static void a_vfork_child_keeps_its_filters_to_itself(void)
{
    CHECK(answer_call_with(NOBODYS_CALL, SECCOMP_RET_ERRNO | EXDEV, 0) == 0);
    pid_t child = vfork();
    if (child == 0) {
        int inherited = syscall(NOBODYS_CALL) == -1 && errno == EXDEV;
        int more = answer_call_with(NOBODYS_CALL + 1, SECCOMP_RET_ERRNO | EDOM, 0) == 0;
        int asked = syscall(NOBODYS_CALL + 1) == -1 && errno == EDOM;
        _exit(inherited && more && asked ? 8 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 8 << 8);
    CHECK_ERROR(syscall(NOBODYS_CALL), EXDEV);
    CHECK_ERROR(syscall(NOBODYS_CALL + 1), ENOSYS);
}

int main(void)
{
    void (*all[])(void) = {
        privileges_are_asked_for,
        wrong_arguments,
        actions_that_are_there,
        modes_do_not_mix,
        filters_until_there_is_no_room,
        all_threads_get_a_filter,
        threads_share_what_the_first_had,
        a_thread_with_another_filter_is_named,
        a_thread_with_another_filter_is_an_error,
        threads_that_were_there_keep_their_own,
        a_vfork_child_keeps_its_filters_to_itself,
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        printf("%u: %#x\n", i, status_of_child(all[i]));
    return 0;
}
