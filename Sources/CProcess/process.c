#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/// What a child does between vfork and exec.
struct birth {
    const char *path;
    char *const *argv;
    char *const *environment;
    int streams[3];
    /// The group that it joins; 0 founds one.
    pid_t group;
    /// Our process, with which it dies; 0 for a child that outlives it.
    pid_t parent;
    uint64_t address_space;
    /// The error of exec or of the steps before.
    volatile int error;
};

/// Runs in the child, which borrows our memory: only system calls.
static void be_born(struct birth *birth) {
    // Handlers of ours must not run here; what is ignored stays so, as under nohup.
    for (int number = 1; number < 65; number++) {
        struct sigaction now;
        if (sigaction(number, NULL, &now) != 0) continue;
        if (number != SIGPIPE && (now.sa_handler == SIG_IGN || now.sa_handler == SIG_DFL)) continue;
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(number, &usual, NULL);
    }
    if (setpgid(0, birth->group) != 0) goto failed;
    if (birth->parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
        // It may have ended before that call.
        if (getppid() != birth->parent) _exit(127);
    }
    for (int stream = 0; stream < 3; stream++)
        if (dup2(birth->streams[stream], stream) < 0) goto failed;
#ifdef SYS_close_range
    // Ours close by themselves; this is for files of libraries that don't.
    syscall(SYS_close_range, 3, ~0U, 0);
#endif
    if (birth->address_space) {
        struct rlimit limit = {birth->address_space, birth->address_space};
        if (setrlimit(RLIMIT_AS, &limit) != 0) goto failed;
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(birth->path, birth->argv, birth->environment);
failed:
    birth->error = errno;
    _exit(127);
}

/// Returns the child, or -1 with `error` set.
static pid_t bear(struct birth *birth) {
    birth->error = 0;
    pid_t pid = vfork();
    if (pid == 0) be_born(birth);
    if (pid < 0) {
        birth->error = errno;
        return -1;
    }
    if (birth->error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        return -1;
    }
    return pid;
}

// MARK: The thread that starts children

// The system binds a child to the thread that started it, and threads of a run come and go. So one thread, which lives as
// long as the process, starts them all.

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct birth *wanted;
static pid_t born;
static int thread_error;

static void *midwife(void *unused) {
    (void)unused;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (!wanted) pthread_cond_wait(&changed, &mutex);
        born = bear(wanted);
        wanted = NULL;
        pthread_cond_broadcast(&changed);
    }
    return NULL;
}

static void start_thread(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    thread_error = pthread_create(&thread, &attributes, midwife, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static pid_t start(struct birth *birth) {
    pthread_once(&once, start_thread);
    if (thread_error) {
        birth->error = thread_error;
        return -1;
    }
    pthread_mutex_lock(&turn);
    pthread_mutex_lock(&mutex);
    wanted = birth;
    pthread_cond_broadcast(&changed);
    while (wanted) pthread_cond_wait(&changed, &mutex);
    pid_t pid = born;
    pthread_mutex_unlock(&mutex);
    pthread_mutex_unlock(&turn);
    return pid;
}

// MARK: Pipes

/// Moves a file above the standard streams, which may be closed in this process.
static int above(int file) {
    if (file > 2 || file < 0) return file;
    int moved = fcntl(file, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(file);
    errno = error;
    return moved;
}

static int make_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    ends[0] = above(ends[0]);
    ends[1] = above(ends[1]);
    return ends[0] < 0 || ends[1] < 0 ? errno : 0;
}

static void close_all(int *files, int count) {
    for (int index = 0; index < count; index++) {
        if (files[index] >= 0) close(files[index]);
        files[index] = -1;
    }
}

/// Our environment and PYTHONUNBUFFERED=1: otherwise answers of a simple Python program would stay in its buffer.
static char **child_environment(void) {
    size_t count = 0;
    while (environ && environ[count]) count++;
    char **copy = malloc((count + 2) * sizeof *copy);
    if (!copy) return NULL;
    if (count) memcpy(copy, environ, count * sizeof *copy);
    if (!getenv("PYTHONUNBUFFERED")) copy[count++] = "PYTHONUNBUFFERED=1";
    copy[count] = NULL;
    return copy;
}

/// Starts the guard: a shell, since it has to outlive this process. Leaves `guard` 0 where that is impossible.
static void start_guard(struct sluice_child *child, char *const *environment) {
    int pipe[2] = {-1, -1};
    int nothing = above(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (nothing >= 0 && make_pipe(pipe) == 0) {
        static char *const argv[] = {
            "sh", "-c", "trap '' HUP INT QUIT TERM; read -r end; kill -KILL 0", NULL};
        struct birth birth = {.path = "/bin/sh", .argv = argv, .environment = environment};
        birth.streams[0] = pipe[0];
        birth.streams[1] = birth.streams[2] = nothing;
        pid_t pid = start(&birth);
        if (pid > 0) {
            child->guard = child->group = pid;
            child->lifeline = pipe[1];
            pipe[1] = -1;
        }
    }
    close_all(pipe, 2);
    if (nothing >= 0) close(nothing);
}

int sluice_child_start(
    const char *path, char *const argv[], uint64_t address_space, int pipe_bytes, struct sluice_child *child) {
    *child = (struct sluice_child){.input = -1, .output = -1, .error = -1, .lifeline = -1};
    // The program's end first, then ours.
    int files[6] = {-1, -1, -1, -1, -1, -1};
    int error = 0, ends[2];
    for (int stream = 0; stream < 3 && !error; stream++) {
        error = make_pipe(ends);
        if (error) break;
        files[2 * stream] = stream == 0 ? ends[0] : ends[1];
        files[2 * stream + 1] = stream == 0 ? ends[1] : ends[0];
        if (fcntl(files[2 * stream + 1], F_SETFL, O_NONBLOCK) != 0) error = errno;
        // Fewer and larger turns; a smaller pipe works, too.
        if (stream < 2) (void)fcntl(files[2 * stream + 1], F_SETPIPE_SZ, pipe_bytes);
    }
    char **environment = error ? NULL : child_environment();
    if (!error && !environment) error = ENOMEM;
    if (!error) {
        start_guard(child, environment);
        struct birth birth = {
            .path = path, .argv = argv, .environment = environment, .streams = {files[0], files[2], files[4]},
            .group = child->group, .parent = getpid(), .address_space = address_space};
        child->pid = start(&birth);
        error = birth.error;
    }
    free(environment);
    if (error) {
        if (child->guard) {
            kill(-child->group, SIGKILL);
            while (waitpid(child->guard, NULL, 0) < 0 && errno == EINTR) {}
            close(child->lifeline);
        }
        close_all(files, 6);
        *child = (struct sluice_child){.input = -1, .output = -1, .error = -1, .lifeline = -1};
        return error;
    }
    if (!child->guard) child->group = child->pid;
    child->input = files[1];
    child->output = files[3];
    child->error = files[5];
    close(files[0]);
    close(files[2]);
    close(files[4]);
    return 0;
}

int sluice_places(unsigned count) { return eventfd(count, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC); }

ssize_t sluice_child_write(int file, const void *bytes, size_t count) {
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    // One that was pending before is not ours to take.
    int was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t written = write(file, bytes, count);
    int error = errno;
    if (written < 0 && error == EPIPE && !was_pending) {
        struct timespec none = {0, 0};
        while (sigtimedwait(&pipe, NULL, &none) < 0 && errno == EINTR) {}
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}
