# What is installed beside programs and libraries, and Debian packages of it (cpack -G DEB): shardscope,
# shardscope-mpi for the one part that needs MPI, and shardscope-gui, the window.

set(doc_dir ${CMAKE_INSTALL_DATADIR}/doc/shardscope)

install(DIRECTORY scenarios DESTINATION ${CMAKE_INSTALL_DATADIR}/shardscope)
install(FILES README.md packaging/copyright DESTINATION ${doc_dir})
install(DIRECTORY docs DESTINATION ${doc_dir})
# Debian's packages refer to its own copy.
install(FILES LICENSE DESTINATION ${doc_dir} COMPONENT licence)

# Written by the program itself, so that they know what it knows. Not in sanitizer builds, which nobody
# installs and some kernels cannot run.
if(NOT SHARDSCOPE_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    find_program(GZIP_PROGRAM gzip)
    set(shell_dir ${PROJECT_BINARY_DIR}/generated/shell)
    set(manual ${shell_dir}/shardscope.1)
    if(GZIP_PROGRAM)
        string(APPEND manual .gz)
    endif()
    add_custom_command(
        OUTPUT ${manual} ${shell_dir}/shardscope ${shell_dir}/_shardscope
        COMMAND
            ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:shardscope> -D OUTPUT=${shell_dir} -D
            GZIP=$<$<BOOL:${GZIP_PROGRAM}>:${GZIP_PROGRAM}> -P
            ${PROJECT_SOURCE_DIR}/packaging/shell_files.cmake
        DEPENDS shardscope ${PROJECT_SOURCE_DIR}/packaging/shell_files.cmake
        COMMENT "Writing the manual page and the shells' completions"
        VERBATIM)
    add_custom_target(shell_files ALL DEPENDS ${manual})
    install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${shell_dir}/shardscope
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${shell_dir}/_shardscope DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

set(CPACK_PACKAGE_NAME shardscope)
set(CPACK_PACKAGE_VENDOR Shardscope)
set(CPACK_PACKAGE_CONTACT "Shardscope maintainers <maintainers@shardscope.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compare ways to spread training over GPUs")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL main)
set(CPACK_COMPONENT_MAIN_DESCRIPTION
    "Shardscope compares data parallelism, model parallelism and ZeRO in memory
per GPU and in throughput. It answers twice from one plan: by running it and
by simulating it.")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
# Dependencies are what dpkg-shlibdeps finds that the programs are linked with.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_MAIN_PACKAGE_NAME shardscope)
set(CPACK_DEBIAN_MAIN_PACKAGE_SUGGESTS "shardscope-mpi, shardscope-gui, python3-matplotlib")
if(TARGET shardscope_mpi)
    install(FILES packaging/copyright DESTINATION ${doc_dir}-mpi COMPONENT mpi)
    list(APPEND CPACK_COMPONENTS_ALL mpi)
    set(CPACK_COMPONENT_MPI_DESCRIPTION
        "With this module, shardscope runs ranks under mpirun and communicates over
Open MPI. Without it, ranks are threads, or processes that use TCP.")
    set(CPACK_DEBIAN_MPI_PACKAGE_NAME shardscope-mpi)
    set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "shardscope (= ${PROJECT_VERSION})")
    set(CPACK_DEBIAN_MPI_PACKAGE_RECOMMENDS openmpi-bin)
endif()
if(TARGET shardscope-gui)
    install(FILES packaging/copyright-gui DESTINATION ${doc_dir}-gui RENAME copyright COMPONENT gui)
    install(FILES packaging/shardscope-gui.desktop
            DESTINATION ${CMAKE_INSTALL_DATADIR}/applications COMPONENT gui)
    set(gui_manual ${PROJECT_SOURCE_DIR}/packaging/shardscope-gui.1)
    if(GZIP_PROGRAM)
        set(gui_manual ${PROJECT_BINARY_DIR}/generated/shardscope-gui.1.gz)
        add_custom_command(
            OUTPUT ${gui_manual}
            COMMAND ${GZIP_PROGRAM} -9 -n -c ${PROJECT_SOURCE_DIR}/packaging/shardscope-gui.1 >
                    ${gui_manual}
            DEPENDS packaging/shardscope-gui.1
            VERBATIM)
        add_custom_target(gui_manual ALL DEPENDS ${gui_manual})
    endif()
    install(FILES ${gui_manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT gui)
    list(APPEND CPACK_COMPONENTS_ALL gui)
    set(CPACK_COMPONENT_GUI_DESCRIPTION
        "The window shows memory per GPU and step time of every strategy, simulates
again with every edit, searches for strategies, and shows measured runs beside
the simulation.")
    set(CPACK_DEBIAN_GUI_PACKAGE_NAME shardscope-gui)
    set(CPACK_DEBIAN_GUI_PACKAGE_DEPENDS "shardscope (= ${PROJECT_VERSION})")
    # Pictures are made without a display, and with this font.
    set(CPACK_DEBIAN_GUI_PACKAGE_RECOMMENDS "qt6-qpa-plugins, fonts-dejavu-core")
endif()
include(CPack)
