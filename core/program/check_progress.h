// Whether the ranks of a program could end up waiting for each other.
#pragma once

#include <cstdint>

#include "core/program/program.h"

namespace shardscope {

// Which instructions the thread that issues a rank's instructions waits for.
enum class Host : std::uint8_t {
    issues,        // copies to the host only
    runs_compute,  // also all of the compute stream, which runs on that thread (CPU backend)
};

// Goes through two steps of all roles without time: streams are in order, a wait is for the latest
// recording issued before it, collectives meet when all roles that share them have come to them, and
// a transfer takes both its ends. A role stands for all its ranks. Throws Error{run_failed,
// "deadlock"} if that gets stuck; the message lists who waits for whom, one hop per line, up to where
// the circle closes or to what never comes. Linear in the unrolled program.
//
// Expects events and communication that have passed check_program's other checks, but ends of
// transfers and collectives may be missing.
void check_progress(const Program& program, Host host = Host::issues);

}  // namespace shardscope
