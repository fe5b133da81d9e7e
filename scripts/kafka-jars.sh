#!/usr/bin/env bash
#
# Fetch Apache Kafka's jars (test/kafka/pom.xml) into a directory, build/kafka/libs by default.
#
#   scripts/kafka-jars.sh [DIRECTORY]
#
# Does nothing when they are there.  They are fetched beside that place and moved
# there whole, so that an interrupted run leaves nothing half done.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pom=$here/../test/kafka/pom.xml
target=${1:-$here/../build/kafka/libs}
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")

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
if ! mvn -q -B -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >"$new.log" 2>&1
then
    cat "$new.log" >&2
    echo "kafka-jars: Maven could not fetch them" >&2
    exit 1
fi
chmod 755 "$new"
rm -rf "$target"
mv "$new" "$target"
