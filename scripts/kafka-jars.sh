#!/usr/bin/env bash
#
# Fetch Apache Kafka's jars (test/kafka/pom.xml) into a directory, build/kafka/libs by default; with --older those
# of the older version, into build/kafka/older.
#
#   scripts/kafka-jars.sh [--older] [DIRECTORY]
#
# Does nothing when they are there.  They are fetched beside that place and moved
# there whole, so that an interrupted run leaves nothing half done.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pom=$here/../test/kafka/pom.xml
property=kafka.version
target=$here/../build/kafka/libs
if [ "${1:-}" = --older ]
then
    property=older.kafka.version
    target=$here/../build/kafka/older
    shift
fi
target=${1:-$target}
version=$(sed -n "s:.*<$property>\(.*\)</$property>.*:\1:p" "$pom")

[ ! -e "$target/kafka_2.13-$version.jar" ] || exit 0

if ! command -v mvn >/dev/null
then
    echo "kafka-jars: Maven is missing; scripts/bootstrap.sh test installs it" >&2
    exit 1
fi
echo "==> fetching Apache Kafka $version from Maven Central (44 MB, once)" >&2
mkdir -p "$(dirname "$target")"
new=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$new" "$new.log"' EXIT
if ! mvn -q -B -f "$pom" "-Dkafka.version=$version" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >"$new.log" 2>&1
then
    cat "$new.log" >&2
    echo "kafka-jars: Maven could not fetch them" >&2
    exit 1
fi
chmod 755 "$new"
rm -rf "$target"
mv "$new" "$target"
