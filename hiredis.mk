# hiredis.mk - how to compile and link with the installed hiredis.  TLS needs its libhiredis_ssl, which hiredis has
# from 1.0 on; without it topk is built without, and says so when a server asks for TLS.

HIREDIS_TLS := $(shell pkg-config --exists hiredis_ssl 2>/dev/null && echo yes)
ifeq ($(HIREDIS_TLS),yes)
# headers are included as <hiredis/hiredis.h>, which some installations need the parent directory for
HIREDIS_FLAGS := -DTOPK_HIREDIS_TLS $(filter-out -I/usr/include,-I$(shell pkg-config --variable=includedir hiredis))
HIREDIS_LIBS := $(shell pkg-config --libs hiredis_ssl hiredis)
else
HIREDIS_FLAGS :=
HIREDIS_LIBS := -lhiredis
endif
