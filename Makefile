# topk - PostgreSQL extension for heavy hitters
#
#   make            build the three libraries          make demo       run the whole pipeline on this machine
#   make install    install them                       make dev        leave a throw-away cluster running
#   make check      quick tests (under 3 minutes)      make bench-*    measure (see bench/README.md)
#   make test       all tests, on real servers         make format / lint / fuzz
#
# Anything that needs packages installs what is missing (scripts/bootstrap.sh).

EXTENSION = topk
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" topk.control)

# topk.so: the type.  Needs libc and libm only.
MODULE_big = topk
SKETCH_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/sketch/*.c)))
TYPE_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
OBJS = $(TYPE_OBJS) $(SKETCH_OBJS)
SHLIB_LINK = -lm

# topk_bridge.so: what is preloaded.  Needs libc only.
BRIDGE_OBJS = bridge/bridge.o bridge/settings.o bridge/launcher.o bridge/server_options.o bridge/path.o

# topk_worker.so: the processes.  Everything else in bridge/: pure parts, edges, hosts.
PRELOADED_ONLY = bridge/bridge.c bridge/settings.c bridge/launcher.c bridge/server_options.c
WORKER_OBJS := $(patsubst %.c,%.o,$(filter-out $(PRELOADED_ONLY),$(sort $(wildcard bridge/*.c)))) bridge/decode_json.o
WORKER_LIBS = -lrdkafka -lhiredis -lsimdjson -lstdc++ -lm

SQL_PARTS = sql/type.sql sql/bridge_tables.sql sql/bridge_config.sql sql/bridge_store.sql sql/bridge_views.sql \
	sql/bridge_redis.sql
DATA_built = topk--$(EXTVERSION).sql

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test

# Each library has its own copy of the sketch code, so nothing but entry points may be visible (PostgreSQL 15
# leaves PGDLLEXPORT empty, later ones define it so).
PG_CFLAGS = -std=gnu11 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-declaration-after-statement -Wno-missing-field-initializers $(COPT)
PG_CPPFLAGS = -DPGDLLEXPORT='__attribute__((visibility("default")))' -I$(CURDIR)/bridge -I$(CURDIR)/src
CXXFLAGS_WORKER = -O2 -g -fPIC -std=c++17 -fno-exceptions -fno-rtti -fvisibility=hidden -Wall -Wextra $(COPT)

EXTRA_CLEAN = $(BRIDGE_OBJS) $(WORKER_OBJS) topk_bridge.so topk_worker.so build

override with_llvm := no
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)

all: topk_bridge.so topk_worker.so

topk_bridge.so: $(BRIDGE_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@

topk_worker.so: $(WORKER_OBJS) $(SKETCH_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(WORKER_LIBS)

%.o: %.cc
	$(CXX) $(CXXFLAGS_WORKER) -c $< -o $@

# No generated dependencies: a header that changes rebuilds what may include it.
$(OBJS): $(wildcard src/*.h src/sketch/*.h)
$(BRIDGE_OBJS) $(WORKER_OBJS): $(wildcard bridge/*.h src/sketch/*.h)

topk--$(EXTVERSION).sql: $(SQL_PARTS) topk.control
	cat $(SQL_PARTS) > $@

install: install-bridge
install-bridge: topk_bridge.so topk_worker.so
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_SHLIB) topk_bridge.so topk_worker.so '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-bridge
uninstall-bridge:
	rm -f '$(DESTDIR)$(pkglibdir)/topk_bridge.so' '$(DESTDIR)$(pkglibdir)/topk_worker.so'
.PHONY: install-bridge uninstall-bridge
endif

# ---------------------------------------------------------------- tests

PROVE_TESTS ?= $(sort $(wildcard test/tap/*.pl))
PG_PERL := $(dir $(PGXS))../test/perl

# Needs the extension installed; each test starts and stops its own servers.
tap: tools
	scripts/as_postgres.sh --back tmp_check/log sh -c 'cd "$$0"; \
	  TESTDATADIR=$$PWD/tmp_check TESTLOGDIR=$$PWD/tmp_check/log PG_REGRESS=$(dir $(PGXS))../test/regress/pg_regress \
	  prove -v -I test/perl -I $(PG_PERL) $(PROVE_TESTS)' .
.PHONY: tap

# ---------------------------------------------------------------- programs for tests, benches and the demo

TOOL_CFLAGS = -O2 -g -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(COPT)

tools: build/topk_gen build/kafka_admin
.PHONY: tools

build/topk_gen: $(wildcard bench/gen/*.[ch])
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) -o $@ $(filter %.c,$^) -lrdkafka -lm

build/kafka_admin: test/kafka/kafka_admin.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) -o $@ $< -lrdkafka
