# topk - PostgreSQL extension for heavy hitters
#
#   make            build the three libraries          make demo       run the whole pipeline on this machine
#   make install    install them                       make dev        leave a throw-away cluster running
#   make check      quick tests (under 3 minutes)      make unit / regress / tap / nemesis   parts of the tests
#   make test       all tests, on real servers         make format / lint
#
# demo, dev and test install what is missing on a Debian machine (scripts/bootstrap.sh) and need root or sudo for
# that; the others use what is there.

PG_CONFIG ?= pg_config
PGXS = $(shell $(PG_CONFIG) --pgxs)
export PG_CONFIG

all:
	@$(MAKE) --no-print-directory -f build.mk all
install uninstall clean:
	@$(MAKE) --no-print-directory -f build.mk $@
# topk_worker.so with fail points, for tests (bridge/fail_point.h)
fail-points:
	@$(MAKE) --no-print-directory -f build.mk build/fail_points/topk_worker.so
.PHONY: all install uninstall clean fail-points

# V=1 shows the commands
Q = $(if $(V),,@)
export V

# sudo only where it is needed
SUDO = $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)

# ---------------------------------------------------------------- tests

bootstrap-%:
	@scripts/bootstrap.sh $*

# Quick: no servers but a PostgreSQL of its own.
check: layers unit regress isolation
	@echo "make check: all passed"

# Everything.
test: bootstrap-test
	@$(MAKE) --no-print-directory test-all
test-all: all tools
	@$(SUDO) $(MAKE) --no-print-directory install PG_CONFIG=$(PG_CONFIG)
	@$(MAKE) --no-print-directory check oracle-test fuzz tap nemesis
	@$(MAKE) --no-print-directory bench-stream STREAM=--quick
	@echo "make test: all passed"

# Who may include whom (docs/ARCHITECTURE.md).
layers:
	@scripts/check_layers.sh

include hiredis.mk
TEST_CFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $(HIREDIS_FLAGS) $(COPT)
TOOL_CFLAGS = -O2 -g $(TEST_CFLAGS)

# Pure C and C++ under the address and undefined-behaviour sanitizers, and the Redis client on a real Redis.
SAN = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
REDIS_EDGE = redis_client.c redis_cluster.c redis_link.c redis_sentinel.c redis_tls.c redis_write.c
SAN_SOURCES = $(sort $(wildcard src/sketch/*.c)) $(addprefix bridge/,event_time.c watermark.c path.c rule_filter.c text_pool.c \
	extract.c extract_rule.c counted_memory.c shape.c family.c tenant.c guard.c pane.c pane_row.c pane_offset.c redis_address.c redis_slot.c $(REDIS_EDGE))
SAN_OBJS = $(patsubst %.c,build/san/%.o,$(SAN_SOURCES)) build/san/bridge/decode_json.o
UNIT_TESTS = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/*_test.c)))

build/san/%.o: %.c $(wildcard src/sketch/*.h bridge/*.h)
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(SAN) $(TEST_CFLAGS) -c $< -o $@
build/san/%.o: %.cc $(wildcard bridge/*.h)
	@mkdir -p $(@D)
	@echo "  CXX  $@"
	$(Q)$(CXX) $(SAN) -std=c++17 -fno-exceptions -fno-rtti -Wall -Wextra -c $< -o $@
build/unit/%.o: test/unit/%.c $(wildcard test/unit/*.h src/sketch/*.h bridge/*.h)
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(SAN) $(TEST_CFLAGS) -Isrc/sketch -Ibridge -c $< -o $@
build/unit/%: build/unit/%.o $(SAN_OBJS)
	@echo "  LD   $@"
	$(Q)$(CXX) $(SAN) -o $@ $^ $(HIREDIS_LIBS) -lsimdjson -lm
.SECONDARY:

unit: $(UNIT_TESTS)
	prove --exec '' $(UNIT_TESTS)

REGRESS ?= $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))

# libFuzzer targets, each for FUZZ_SECONDS (0: no limit), or for FUZZ_RUNS executions; what they find is kept in build/fuzz.
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= -1
FUZZERS = $(patsubst test/fuzz/%_fuzz.c,%,$(wildcard test/fuzz/*_fuzz.c)) $(patsubst test/fuzz/%_fuzz.cc,%,$(wildcard test/fuzz/*_fuzz.cc))
FUZZ_SAN = -O2 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_OBJS = $(patsubst build/san/%,build/fuzz/%,$(filter-out $(REDIS_EDGE:%.c=build/san/bridge/%.o),$(SAN_OBJS)))

build/fuzz/%.o: %.c $(wildcard src/sketch/*.h bridge/*.h test/fuzz/*.h)
	@mkdir -p $(@D)
	@echo "  CLANG $@"
	$(Q)clang $(FUZZ_SAN) $(TEST_CFLAGS) -Isrc/sketch -Ibridge -c $< -o $@
build/fuzz/%.o: %.cc $(wildcard src/sketch/*.h bridge/*.h)
	@mkdir -p $(@D)
	@echo "  CLANG $@"
	$(Q)clang++ $(FUZZ_SAN) -std=c++17 -Wall -Wextra -Isrc/sketch -Ibridge -c $< -o $@
build/fuzz/%: build/fuzz/test/fuzz/%_fuzz.o $(FUZZ_OBJS)
	@echo "  LD   $@"
	$(Q)clang++ -fsanitize=fuzzer,address,undefined -o $@ $^ -lsimdjson -lm

# A program of updates and merges has no number to guess, and tracing each comparison took two thirds of the time.
FUZZ_OPS_OBJS = $(patsubst build/fuzz/%,build/fuzz/no_cmp/%,build/fuzz/test/fuzz/sketch_ops_fuzz.o $(filter build/fuzz/src/sketch/%,$(FUZZ_OBJS)))
build/fuzz/no_cmp/%.o: %.c $(wildcard src/sketch/*.h test/fuzz/*.h)
	@mkdir -p $(@D)
	@echo "  CLANG $@"
	$(Q)clang $(FUZZ_SAN) -fno-sanitize-coverage=trace-cmp $(TEST_CFLAGS) -Isrc/sketch -c $< -o $@
build/fuzz/sketch_ops: $(FUZZ_OPS_OBJS)
	@echo "  LD   $@"
	$(Q)clang++ -fsanitize=fuzzer,address,undefined -o $@ $^ -lm

fuzz: $(addprefix fuzz-,$(FUZZERS))
fuzz-%: build/fuzz/%
	@mkdir -p build/fuzz/found/$*
	@echo "==> fuzzing $* for at most $(FUZZ_SECONDS) s"
	@cd build/fuzz && { ./$* -max_total_time=$(FUZZ_SECONDS) -runs=$(FUZZ_RUNS) -max_len=4096 -print_final_stats=1 found/$* \
	  $(wildcard $(CURDIR)/test/fuzz/corpus/$*) > $*.log 2>&1 || { tail -40 $*.log; exit 1; }; }
	@grep -E 'number_of_executed_units|average_exec' build/fuzz/$*.log
.PHONY: fuzz

# SQL behaviour, in a throw-away cluster that preloads the bridge.  Needs the extension installed.
regress:
	scripts/as_postgres.sh --back results --back regression.diffs sh -c 'mkdir -p tmp_check; \
	  $(dir $(PGXS))../test/regress/pg_regress --bindir="$$($(PG_CONFIG) --bindir)" --temp-instance="$$PWD/tmp_check/instance" \
	  --temp-config=test/regress.conf --encoding=UTF8 --no-locale --inputdir=test $(REGRESS)'

# The commit protocol, by the isolation tester.
isolation:
	scripts/as_postgres.sh --back results --back regression.diffs sh -c 'mkdir -p tmp_check; \
	  $(dir $(PGXS))../test/isolation/pg_isolation_regress --bindir="$$($(PG_CONFIG) --bindir)" \
	  --temp-instance="$$PWD/tmp_check/instance_iso" --temp-config=test/regress.conf --encoding=UTF8 --no-locale \
	  --inputdir=test $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))'

# The regression tests of the type under valgrind; minutes, so not part of make test.
valgrind:
	scripts/valgrind.sh

# The oracle against cases worked by hand.
oracle-test:
	cd test/oracle && PYTHONDONTWRITEBYTECODE=1 python3 -m unittest -q test_recount

# The pipeline on real Apache Kafka and Redis.  Needs the extension installed.
PROVE_TESTS ?= $(sort $(wildcard test/tap/*.pl))
tap: tools fail-points
	scripts/kafka-jars.sh
	pkg-config --atleast-version=2.6.1 rdkafka || scripts/kafka-jars.sh --older
	scripts/python-venv.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v $(PROVE_TESTS)

# Random faults under load, then a recount (test/nemesis/README.md).  The same SEED has the same faults.
FAULTS ?= 25
SEED ?= 1
nemesis: tools $(if $(wildcard bridge/fail_point.h),fail-points)
	scripts/kafka-jars.sh
	scripts/python-venv.sh
	FAULTS=$(FAULTS) SEED=$(SEED) RATE=$(RATE) KINDS="$(KINDS)" test/nemesis/small_disks.sh \
	  scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v test/nemesis/nemesis.pl

.PHONY: check test test-all layers unit regress isolation valgrind oracle-test tap nemesis

# ---------------------------------------------------------------- programs for tests, benches and the demo



tools: build/topk_gen build/kafka_admin build/mock_broker
.PHONY: tools

build/topk_gen: $(wildcard bench/gen/*.[ch])
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -o $@ $(filter %.c,$^) -lrdkafka -lm

build/kafka_admin: test/kafka/kafka_admin.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -o $@ $< -lrdkafka

build/mock_broker: demo/mock_broker.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -o $@ $< -lrdkafka

build/consume_floor build/line_producer: build/%: bench/%.c
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -o $@ $< -lrdkafka

# ---------------------------------------------------------------- benches (bench/README.md)

# The whole pipeline beside a bare consumer.  Needs the extension installed.  STREAM="--quick" only tries it.
bench-stream: tools build/consume_floor
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v bench/stream_bench.pl :: $(STREAM)

# From producing an event to seeing it, and what small streams cost.  Minutes of real time each.
bench-latency: tools build/line_producer
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v bench/latency_bench.pl :: $(LATENCY)
bench-small: tools
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v bench/small_bench.pl :: $(SMALL)

# Whether workers and flush intervals change what is counted; in real time, some four minutes a rate.
bench-accuracy: tools
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v bench/accuracy_bench.pl :: $(ACCURACY)

# The path of an event without Kafka and PostgreSQL.
build/extract_bench: bench/extract_bench.c $(wildcard bridge/*.[ch] src/sketch/*.[ch]) build/fast/decode_json.o
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -Isrc/sketch -Ibridge -c $< -o build/fast/extract_bench.o
	$(Q)for f in $(filter-out bridge/redis_%,$(SAN_SOURCES)); do \
	  $(CC) $(TOOL_CFLAGS) -c $$f -o build/fast/$$(basename $$f .c).o || exit 1; done
	$(Q)$(CXX) -o $@ build/fast/*.o -lsimdjson -lm
build/fast/decode_json.o: bridge/decode_json.cc bridge/decode.h
	@mkdir -p $(@D)
	$(Q)$(CXX) -O2 -g -std=c++17 -fno-exceptions -fno-rtti -c $< -o $@
bench-extract: build/extract_bench
	build/extract_bench

build/shape_gen: bench/shape_gen.c bench/gen/gen_output.c bench/gen/gen_random.c bench/gen/gen.h
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -o $@ $(filter %.c,$^) -lrdkafka -lm
bench-scaling: tools build/shape_gen
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log --back bench/results scripts/tap.sh -v bench/scaling_bench.pl :: $(SCALING)

# What messages that cannot be read cost.
bench-malformed: tools
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log scripts/tap.sh -v bench/malformed_bench.pl :: $(MALFORMED)

# Whether anything grows under a steady load: make soak MINUTES=60.
MINUTES ?= 60
soak: tools
	scripts/kafka-jars.sh
	scripts/as_postgres.sh --back tmp_check/log --back bench/results scripts/tap.sh -v bench/soak.pl :: --minutes $(MINUTES) $(SOAK)

# The sketch library alone.
build/sketch_bench: bench/sketch_bench.c $(wildcard src/sketch/*.[ch])
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(CC) $(TOOL_CFLAGS) -Isrc/sketch -o $@ $(filter %.c,$^) -lm
bench-sketch: build/sketch_bench
	build/sketch_bench

# The type in SQL.
bench-sql:
	@[ -x build/peers/bin/python ] || { echo "==> fetching ClickHouse's chdb and DuckDB from PyPI (once)"; \
	  /usr/bin/python3 -m venv build/peers && build/peers/bin/pip -q install chdb duckdb; } || \
	  echo "==> they cannot be had here, and are left out"
	scripts/as_postgres.sh env PYTHON=build/peers/bin/python bench/sql_bench.sh | tee build/sql_bench.md

# Questions to the stored windows.
bench-query:
	@scripts/as_postgres.sh bench/query_bench.sh

.PHONY: bench-stream bench-latency bench-small bench-accuracy bench-extract bench-scaling bench-malformed soak bench-sketch bench-sql bench-query

# ---------------------------------------------------------------- to look at and to work with

demo: bootstrap-demo
	@$(MAKE) --no-print-directory all tools
	@demo/demo.sh

dev: bootstrap-test
	@$(MAKE) --no-print-directory all tools
	@$(SUDO) $(MAKE) --no-print-directory install PG_CONFIG=$(PG_CONFIG)
	@scripts/dev.sh start
dev-stop:
	@scripts/dev.sh stop


# The layout of .clang-format; what a linter finds in the parts that need no headers but their own.
C_FILES = $(shell git ls-files '*.c' '*.h' '*.cc')
format:
	clang-format -i $(C_FILES)
lint:
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck -q --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 -Isrc/sketch -Ibridge \
	  $(SAN_SOURCES) bench/gen demo/mock_broker.c test/kafka
	shellcheck -S warning scripts/*.sh test/nemesis/*.sh .ci/run demo/demo.sh

.PHONY: demo dev dev-stop format lint
