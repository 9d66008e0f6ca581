// Whether this process is one of several that run the ranks of one command, and which: what its
// launcher's variables say.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace shardscope {

struct ProcessPlace {
    enum class Transport { tcp, mpi };
    Transport transport = Transport::tcp;
    int rank = 0;
    int size = 1;
    std::optional<int> local_rank;  // among those of its host, where the launcher says
    std::string launcher;           // "mpirun", "srun", or "RANK and WORLD_SIZE"
    std::string master_addr;        // tcp: rank 0's host
    int master_port = 29500;        // tcp: where it listens
    std::string meeting_file;  // tcp: where rank 0 writes these two instead; empty: they are known
};

// Nothing when this process was started alone. In this order:
//   OMPI_COMM_WORLD_RANK, _SIZE       Open MPI's mpirun: over MPI
//   RANK, WORLD_SIZE                  `shardscope launch`, torchrun: over TCP; MASTER_ADDR and
//                                     MASTER_PORT say where rank 0 is (torchrun: the next port)
//   PMI_RANK, PMI_SIZE                mpiexec of MPICH or Intel: over TCP, in the same way
//   SLURM_PROCID, SLURM_STEP_NUM_TASKS  srun: over TCP if MASTER_ADDR is set, else over MPI
// With SHARDSCOPE_RENDEZVOUS=file:///PATH all of them meet over TCP, by that file.
// Throws Error "processes" (exit code 2) for values that make no sense.
std::optional<ProcessPlace> process_place(const std::map<std::string, std::string>& variables);

}  // namespace shardscope
