#!/bin/sh
# ccache for a build with precompiled headers. To see whether one has changed it runs the preprocessor with -fpch-preprocess,
# which reads the old one in place of its headers, and nothing seems to have changed: so the old one goes first.
case " $* " in
  *" -x c++-header "*)
    previous=
    for a; do
      [ "$previous" != -o ] || rm -f "$a"
      previous=$a
    done ;;
esac
CCACHE_SLOPPINESS=pch_defines,time_macros exec ccache "$@"  # the sloppiness that its manual asks for
