# build.mk - builds and installs the three libraries with PGXS.  `make` in this directory calls it.

EXTENSION = topk
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" topk.control)

# topk.so: the type.  Needs libc and libm only.
MODULE_big = topk
SKETCH_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/sketch/*.c)))
TYPE_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
OBJS = $(TYPE_OBJS) $(SKETCH_OBJS)
SHLIB_LINK = -lm

# topk_bridge.so: what is preloaded.  Needs libc only.
BRIDGE_OBJS = bridge/bridge.o bridge/settings.o bridge/launcher.o bridge/server_options.o bridge/probe_call.o \
	bridge/path.o bridge/redis_address.o

# topk_worker.so: the processes.  Everything else in bridge/: pure parts, edges, hosts.
PRELOADED_ONLY = bridge/bridge.c bridge/settings.c bridge/launcher.c bridge/server_options.c bridge/probe_call.c
WORKER_OBJS := $(patsubst %.c,%.o,$(filter-out $(PRELOADED_ONLY),$(sort $(wildcard bridge/*.c)))) bridge/decode_json.o
include hiredis.mk
WORKER_LIBS = -lrdkafka $(HIREDIS_LIBS) -lsimdjson -lstdc++ -lm -lpthread

SQL_PARTS = sql/type.sql sql/bridge_tables.sql sql/bridge_windows.sql sql/bridge_config.sql sql/bridge_rules.sql sql/bridge_tenants.sql \
	sql/bridge_store.sql sql/bridge_views.sql sql/bridge_retention.sql sql/bridge_redis.sql sql/bridge_query.sql sql/bridge_alter.sql \
	sql/bridge_probe.sql sql/bridge_dead_letters.sql sql/bridge_seek.sql sql/bridge_replay.sql sql/bridge_stat_tenants.sql \
	sql/bridge_roles.sql sql/bridge_row_security.sql
DATA_built = topk--$(EXTVERSION).sql
# The ways from older versions, each as topk--OLD--NEW.sql.
DATA = $(sort $(wildcard sql/updates/topk--*--*.sql))

# Each library has its own copy of the sketch code, so nothing but entry points may be visible (PostgreSQL 15
# leaves PGDLLEXPORT empty, later ones define it so).
PG_CFLAGS = -std=gnu11 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-declaration-after-statement -Wno-missing-field-initializers $(COPT)
PG_CPPFLAGS = -DPGDLLEXPORT='__attribute__((visibility("default")))' -I$(CURDIR)/bridge -I$(CURDIR)/src \
	$(HIREDIS_FLAGS)
CXXFLAGS_WORKER = -O2 -g -fPIC -std=c++17 -fno-exceptions -fno-rtti -fvisibility=hidden -Wall -Wextra $(COPT)

EXTRA_CLEAN = $(BRIDGE_OBJS) $(WORKER_OBJS) topk_bridge.so topk_worker.so build/san build/unit build/fuzz build/fail_points

override with_llvm := no
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(PGXS),)
$(error pg_config is missing: scripts/bootstrap.sh build installs what is needed)
endif
include $(PGXS)

all: topk_bridge.so topk_worker.so

# V=1 shows the commands
Q = $(if $(V),,@)

%.o: %.c
	@echo "  CC   $@"
	$(Q)$(CC) $(CFLAGS) $(CPPFLAGS) -c -o $@ $<

%.o: %.cc
	@echo "  CXX  $@"
	$(Q)$(CXX) $(CXXFLAGS_WORKER) -c $< -o $@

topk_bridge.so: $(BRIDGE_OBJS)
	@echo "  LD   $@"
	$(Q)$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@

topk_worker.so: $(WORKER_OBJS) $(SKETCH_OBJS)
	@echo "  LD   $@"
	$(Q)$(CC) $(CFLAGS) $^ $(WORKER_LIBS) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@

# No generated dependencies: a header that changes rebuilds what may include it.
$(OBJS): $(wildcard src/*.h src/sketch/*.h)
$(BRIDGE_OBJS) $(WORKER_OBJS): $(wildcard bridge/*.h src/sketch/*.h)

# topk_worker.so with fail points, for tests (bridge/fail_point.h); never installed.
FAIL_OBJS = $(patsubst %.o,build/fail_points/%.o,$(filter-out bridge/decode_json.o,$(WORKER_OBJS)))
build/fail_points/%.o: %.c $(wildcard bridge/*.h src/sketch/*.h)
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(CFLAGS) $(CPPFLAGS) -DTOPK_FAIL_POINTS -c -o $@ $<
build/fail_points/topk_worker.so: $(FAIL_OBJS) bridge/decode_json.o $(SKETCH_OBJS)
	@echo "  LD   $@"
	$(Q)$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(WORKER_LIBS)

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

