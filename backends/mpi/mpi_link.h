// The MessageLink over MPI, in a module that is loaded at run time.
#pragma once

#include "backends/process/message_link.h"

// Initialises MPI and returns this process's end; throws Error{run_failed, "processes"} where MPI is
// not started as the launcher's variables say, rank and size. The caller owns the result, and destroys
// it before the process ends. Once per process.
extern "C" shardscope::MessageLink* shardscope_make_mpi_link(int rank, int size);
