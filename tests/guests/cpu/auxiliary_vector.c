/* The auxiliary vector describes this program, this process and this machine. */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

extern const char __ehdr_start[] __attribute__((weak));

static void describes_the_program_headers(void)
{
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    CHECK(getauxval(AT_PHENT) == sizeof *headers && getauxval(AT_PHNUM) > 3);
    int loads = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        loads += headers[i].p_type == PT_LOAD;
    CHECK(loads > 0);
    if (__ehdr_start)
        CHECK((const char *)headers == __ehdr_start + ((const ElfW(Ehdr) *)__ehdr_start)->e_phoff);
    printf("headers %lu, loadable %d\n", getauxval(AT_PHNUM), loads);
}

static void names_the_program(const char *name)
{
    const char *file = (const char *)getauxval(AT_EXECFN);
    CHECK(file != NULL && access(file, X_OK) == 0);
    printf("executed file is %s\n", strcmp(file, name) == 0 ? "argv[0]" : file);
}

static void random_bytes_are_random(void)
{
    const char *bytes = (const char *)getauxval(AT_RANDOM);
    CHECK(bytes != NULL && !all_bytes(bytes, 16, bytes[0]));
}

int main(int argc, char **argv)
{
    (void)argc;
    describes_the_program_headers();
    names_the_program(argv[0]);
    random_bytes_are_random();
    CHECK(getauxval(AT_PAGESZ) == PAGE && getauxval(AT_CLKTCK) == (unsigned long)sysconf(_SC_CLK_TCK));
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
    CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    CHECK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    CHECK(getauxval(AT_ENTRY) != 0);
    printf("secure %lu, flags %lu, hwcap %s\n", getauxval(AT_SECURE), getauxval(AT_FLAGS),
           getauxval(AT_HWCAP) ? "known" : "none");
    printf("interpreter %s\n", getauxval(AT_BASE) ? "loaded" : "none");
    const ElfW(Ehdr) *vdso = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
    printf("vdso %s\n", vdso ? "present" : "none");
    if (vdso)
        CHECK(memcmp(vdso->e_ident, ELFMAG, SELFMAG) == 0);
}
