#pragma once
// Programs that a stage starts. In C because nothing else may run between vfork and exec, and because posix_spawn can't
// bind a child to the life of its parent.
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A running program and our ends of its pipes, all non-blocking and closed in every child.
struct sluice_child {
    /// The program.
    pid_t pid;
    /// The process group of the program and of all that it starts; led by the guard, or by the program if there is none.
    pid_t group;
    /// A shell in that group that waits for the end of this process, and then kills the group; 0 if there is no /bin/sh.
    pid_t guard;
    int input;
    int output;
    int error;
    /// The pipe at whose end the guard waits: it closes when this process ends, however that happens.
    int lifeline;
};

/// Starts a program with pipes for its standard streams.
///
/// It is killed when this process ends (PR_SET_PDEATHSIG), and so is what it has started, by the guard, unless that has
/// left the process group. Its signals are those of a shell's child; the environment is ours, with PYTHONUNBUFFERED=1
/// unless that is set.
///
/// - path: what is executed. argv: ends with NULL.
/// - address_space: its limit in bytes (RLIMIT_AS), 0 for none.
/// - pipe_bytes: the wanted capacity of the pipes for input and output.
/// Returns 0, or an error number.
int sluice_child_start(
    const char *path, char *const argv[], uint64_t address_space, int pipe_bytes, struct sluice_child *child);

/// A file of `count` places: reading eight bytes takes one (EAGAIN if there is none), writing a 1 of eight bytes gives one.
int sluice_places(unsigned count);

/// write(2) that reports a closed pipe as EPIPE and raises no SIGPIPE.
ssize_t sluice_child_write(int file, const void *bytes, size_t count);
