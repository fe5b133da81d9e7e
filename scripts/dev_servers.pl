#!/usr/bin/env perl
#
# Start PostgreSQL, Kafka and Redis in a directory and leave them running; part
# of scripts/dev.sh.
#
#   dev_servers.pl DIRECTORY
#
# Writes DIRECTORY/servers, a shell fragment with the ports and process ids.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../test/perl";
use TopK::Test::Kafka;
use TopK::Test::Redis;
use TopK::Test::Server qw(free_port);
use TopK::Test::Tools  qw(run_command);

use constant PARTITIONS => 4;

my $dir = $ARGV[0] // die "usage: dev_servers.pl DIRECTORY\n";

sub say_step
{
    print STDERR "==> @_\n";
    return;
}

sub append
{
    my ($path, $text) = @_;
    open my $file, '>>', $path or die "could not write $path: $!\n";
    print {$file} $text;
    close $file or die "could not write $path: $!\n";
    return;
}

# Returns the port.  Its socket is in the directory, too, so that nothing else is near.
sub start_postgresql
{
    my ($data) = @_;
    my $port = free_port();
    run_command('/bin/sh', '-c', 'exec initdb -D "$0" -U postgres -A trust -E UTF8 --no-locale -N > "$0.log" 2>&1', $data);
    append("$data/postgresql.conf", <<"CONF");
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
shared_preload_libraries = 'topk_bridge'
max_worker_processes = 32
shared_buffers = 256MB
max_wal_size = 2GB
CONF
    run_command('pg_ctl', '-D', $data, '-s', '-w', '-l', "$data.log", 'start');
    return $port;
}

say_step('starting Redis');
my $redis = TopK::Test::Redis->start("$dir/redis");
say_step('starting Apache Kafka');
my $kafka = TopK::Test::Kafka->start("$dir/kafka");
$kafka->create_topic('events', PARTITIONS);
say_step('starting PostgreSQL');
my $port = start_postgresql("$dir/postgresql");

append("$dir/servers", join '', map { "$_\n" }
      "PGPORT=$port", 'REDIS_PORT=' . $redis->port, 'KAFKA=' . $kafka->bootstrap,
    'REDIS_PID=' . $redis->pid, 'KAFKA_PID=' . $kafka->node_pid(1));
$redis->detach;
$kafka->detach;
