# lz4.mk - how to compile and link with the installed liblz4.  It compresses sketches closer than PostgreSQL's own call
# of it, into the same form; without it, or where PostgreSQL is built without lz4, what PostgreSQL has is used.

LZ4_HC := $(shell pkg-config --exists liblz4 2>/dev/null && echo yes)
ifeq ($(LZ4_HC),yes)
LZ4_FLAGS := -DTOPK_LZ4HC
LZ4_LIBS := $(shell pkg-config --libs liblz4)
else
LZ4_FLAGS :=
LZ4_LIBS :=
endif
