package TopK::Test::Pipeline;

# A PostgreSQL server with the bridge preloaded, a source, its rules and a sink,
# and the waiting and recounting that every test of the pipeline does.
#
#   my $pipeline = TopK::Test::Pipeline->new('main', kafka => $kafka, redis => $redis);
#   $pipeline->setup(topic => 'events', source => { k => 100 });
#   $kafka->generate('events', ...);
#   $pipeline->wait_until_flushed;                  # up to what the topic holds now
#   my $summary = $pipeline->recount;               # the oracle's; its lists are in oracle.pane
#   $pipeline->value('SELECT ...');  $pipeline->node->restart;
#   $pipeline->change("SELECT topk.drop_rule('clicks', 'page_view');", rules => [ ... ]);    # those that are left
#
# The extension must be installed; tests run as a user that PostgreSQL accepts
# (scripts/as_postgres.sh).

use strict;
use warnings;

use Carp        qw(croak);
use Exporter    qw(import);
use JSON::PP    qw(decode_json encode_json);
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TopK::Test::Tools qw(top_dir build_dir run_command);

our @EXPORT_OK = qw(reference_rules);

my $settings = <<'CONF';
shared_preload_libraries = 'topk_bridge'
max_worker_processes = 32
max_connections = 50
shared_buffers = 128MB
max_wal_size = 1GB
log_statement = none
log_min_duration_statement = -1
restart_after_crash = on
TimeZone = 'UTC'
CONF

# The rules of the reference's three event types, in the words of topk.create_rule.
sub reference_rules
{
    open my $file, '<', top_dir() . '/test/oracle/rules.json' or croak "could not read the rules: $!";
    local $/;
    return @{ decode_json(<$file>)->{rules} };
}

# Options: kafka, redis (either may be left out), conf (text for postgresql.conf),
# init (a hash for PostgreSQL::Test::Cluster's init), before_init (called with the node),
# fail_points (true: processes with fail points), install_path (see PostgreSQL::Test::Cluster).
sub new
{
    my ($class, $name, %options) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name, install_path => $options{install_path});
    $options{before_init}->($node) if $options{before_init};
    $node->init(extra => [ '--encoding=UTF8', '--no-locale' ], %{ $options{init} // {} });
    $node->append_conf('postgresql.conf', $settings . ($options{conf} // ''));
    $node->append_conf('postgresql.conf', "dynamic_library_path = '" . build_dir() . "/fail_points:\$libdir'") if $options{fail_points};
    $node->start;
    return bless { node => $node, kafka => $options{kafka}, redis => $options{redis} }, $class;
}

sub node { my ($self) = @_; return $self->{node}; }

# Another server is the primary now.
sub use_node { my ($self, $node) = @_; $self->{node} = $node; return; }

# One value, or one row's values separated by '|', as psql -At prints it.
sub value
{
    my ($self, $sql) = @_;
    return $self->{node}->safe_psql('postgres', $sql);
}

# ---- fail points (bridge/fail_point.h; with the option fail_points) ----

# Lines as flush_before_commit=crash*1; they replace what was there.
sub fail_at
{
    my ($self, @lines) = @_;
    my $path = $self->_fail_file;
    open my $file, '>', "$path.new" or croak "could not write $path: $!";
    print {$file} map { "$_\n" } @lines;
    close $file or croak "could not write $path: $!";
    rename "$path.new", $path or croak "could not write $path: $!";
    return;
}

# Until each counted fail point has been reached as often as it was to be.
sub wait_for_faults
{
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // 60);
    while (-s $self->_fail_file)
    {
        croak 'fail points were not reached: ' . $self->faults_left if time > $end;
        sleep 0.05;
    }
    return;
}

sub faults_left { my ($self) = @_; return PostgreSQL::Test::Utils::slurp_file($self->_fail_file); }
sub _fail_file { my ($self) = @_; return $self->{node}->data_dir . '/topk.fail_points'; }

# Create extension, servers, source, rules and sink in one transaction.
# Options: topic ('events'), name ('clicks'), source and sink (hashes of further
# named arguments), rules (an array of hashes; the reference's by default), tenants
# (an array of hashes, in the words of topk.create_tenant; dimensions as an array),
# bootstrap and redis_port (where the bridge finds the servers, if not where the test does),
# version (of the extension).
sub setup
{
    my ($self, %options) = @_;
    $self->{name}   = $options{name}  // 'clicks';
    $self->{topic}  = $options{topic} // 'events';
    $self->{rules}  = $options{rules} // [ reference_rules() ];
    $self->{source} = $options{source} // {};
    $self->{tenants} = $options{tenants} // [];
    $self->{bootstrap}  = $options{bootstrap}  // $self->{kafka}->bootstrap;
    $self->{redis_port} = $options{redis_port};
    $self->value(join "\n", 'BEGIN;', _extension_sql($options{version}), $self->_source_sql, $self->_rules_sql,
        $self->_tenants_sql, $self->_sink_sql($options{sink} // {}), 'COMMIT;');
    return;
}

sub _extension_sql
{
    my ($version) = @_;
    return 'CREATE EXTENSION topk' . (defined $version ? " VERSION '$version'" : '') . ';';
}

sub _source_sql
{
    my ($self) = @_;
    my $bootstrap = _literal($self->{bootstrap});
    return "CREATE SERVER k FOREIGN DATA WRAPPER topk_kafka OPTIONS (bootstrap_servers $bootstrap);\n"
      . _call('topk.create_source', { name => $self->{name}, server => 'k', topic => $self->{topic}, %{ $self->{source} } });
}

sub _rules_sql
{
    my ($self) = @_;
    return join "\n", map {
        my %rule = %{$_};
        $rule{$_} = encode_json($rule{$_}) for grep { $rule{$_} } qw(dimensions filter);
        _call('topk.create_rule', { source => $self->{name}, %rule });
    } @{ $self->{rules} };
}

sub _tenants_sql
{
    my ($self) = @_;
    return join "\n", map {
        my %tenant = %{$_};
        $tenant{enabled} = $tenant{enabled} ? 'true' : 'false' if defined $tenant{enabled};
        $tenant{dimensions} = '{' . join(',', @{ $tenant{dimensions} }) . '}' if $tenant{dimensions};
        _call('topk.create_tenant', { source => $self->{name}, %tenant });
    } @{ $self->{tenants} };
}

# The settings of tenants that decide what is counted.
sub _oracle_tenants
{
    my ($self) = @_;
    my @tenants;
    for my $tenant (@{ $self->{tenants} })
    {
        my %known = map { $_ => $tenant->{$_} } grep { exists $tenant->{$_} } qw(tenant enabled dimensions items_per_second);
        push @tenants, \%known;
    }
    return \@tenants;
}

sub _sink_sql
{
    my ($self, $arguments) = @_;
    return '' unless $self->{redis};
    my $options = defined $self->{redis_port} ? "host '127.0.0.1', port " . _literal($self->{redis_port}) : $self->{redis}->server_options;
    return "CREATE SERVER r FOREIGN DATA WRAPPER topk_redis OPTIONS ($options);
"
      . _call('topk.create_sink', { source => $self->{name}, server => 'r', %{$arguments} });
}

# SELECT function(name => 'value', ...); undef is NULL.
sub _call
{
    my ($function, $arguments) = @_;
    my @list = map { "$_ => " . _literal($arguments->{$_}) } sort keys %{$arguments};
    return "SELECT $function(" . join(', ', @list) . ');';
}

sub _literal
{
    my ($text) = @_;
    return 'NULL' unless defined $text;
    $text =~ s/'/''/g;
    $text =~ s/\\/\\\\/g;
    return ($text =~ /\\/ ? 'E' : '') . "'$text'";
}

# ---- changes while it runs ----

# Run SQL that changes the configuration, in one transaction, and note which version of it has which rules and
# tenants (as setup takes them; what is not given stays).  From the first such call on the recount applies to each
# message the version that topk.adoption names for its offset.
sub change
{
    my ($self, $sql, %config) = @_;
    my $version = "SELECT 'version ' || config_version FROM topk.source_state JOIN topk.source USING (source_id) WHERE name = "
      . _literal($self->{name}) . ';';
    my $output = $self->value(join "\n", 'BEGIN;', $version, $sql, $version, 'COMMIT;');
    my ($before, $after) = $output =~ /^version (\d+)$/mg;
    $self->{versions}{$before} //= $self->_countable;
    @{$self}{ keys %config } = values %config;
    $self->{versions}{$after} = $self->_countable;
    return;
}

# What the oracle must know of a version.
sub _countable
{
    my ($self) = @_;
    return { rules => [ map { { %{$_} } } @{ $self->{rules} } ], tenants => $self->_oracle_tenants };
}

# {partition => [[first offset, version], ...]}
sub _adoption
{
    my ($self) = @_;
    my $rows = $self->value('SELECT partition, first_offset, config_version FROM topk.adoption JOIN topk.source USING (source_id) WHERE name = '
          . _literal($self->{name}));
    my %adoption;
    for my $row (split /\n/, $rows)
    {
        my ($partition, $offset, $version) = split /\|/, $row;
        push @{ $adoption{$partition} }, [ 0 + $offset, 0 + $version ];
    }
    return \%adoption;
}

# ---- waiting ----

# Until a query answers with the value expected; dies with what it answered last.
sub wait_for
{
    my ($self, $sql, $expected, $seconds) = @_;
    my $end = time + ($seconds // 120);
    my $last;
    while (time < $end)
    {
        $last = eval { $self->value($sql) } // "(error: $@)";
        return if $last eq $expected;
        sleep 0.1;
    }
    my $state = eval { $self->value('SELECT * FROM topk.stat_source') } // "(error: $@)";
    croak "waited in vain for \"$expected\"; it is \"$last\"\nquery: $sql\ntopk.stat_source: $state\n"
      . 'log of the server: ' . $self->{node}->logfile;
}

# Until the source has committed everything that the topic holds at this moment.
sub wait_until_flushed
{
    my ($self, $seconds) = @_;
    my @ends = map { $_->[1] } $self->{kafka}->offsets($self->{topic});
    my $behind = join ' OR ', map { "partition = $_ AND next_offset >= $ends[$_]" } 0 .. $#ends;
    my $needed = grep { $_ > 0 } @ends;
    my $source = _literal($self->{name});
    $self->wait_for(
        "SELECT count(*) FROM topk.partition JOIN topk.source USING (source_id)
         WHERE name = $source AND next_offset > 0 AND ($behind)",
        $needed, $seconds);
    return;
}

# Until every window of a name that ends at or before the source's watermark is final.
sub wait_until_closed
{
    my ($self, $window, $seconds) = @_;
    my ($source, $name) = (_literal($self->{name}), _literal($window));
    $self->wait_for(
        "SELECT count(*) FROM topk.top_items t JOIN topk.stat_source s USING (source)
         WHERE source = $source AND window_name = $name AND window_end <= s.watermark AND NOT final",
        0, $seconds);
    return;
}

# ---- recounting ----

# Dump the topic, recount it by the rules that setup was given, and load the
# lists into oracle.pane, oracle.win (every window) and oracle.total; returns the oracle's summary.
sub recount
{
    my ($self, %options) = @_;
    my $directory = $options{directory} // PostgreSQL::Test::Utils::tempdir('oracle');
    $self->{kafka}->dump($self->{topic}, "$directory/dump");
    $self->_write_config("$directory/config.json");
    my $now = $options{now} // int time;
    run_command('/bin/sh', '-c', 'exec "$1" "$2" "$3" "$4" --columns partition,offset,size,payload --now "$5" < "$6"', 'sh', 'python3',
        top_dir() . '/test/oracle/recount.py', "$directory/config.json", "$directory/result", $now, "$directory/dump");
    unlink "$directory/dump";
    $self->_load("$directory/result");
    open my $file, '<', "$directory/result/summary.json" or croak "no summary: $!";
    local $/;
    return decode_json(<$file>);
}

# What the source was created with, in seconds.
sub _write_config
{
    my ($self, $path) = @_;
    my $intervals = join ', ', map { "extract(epoch FROM $_)" } qw(pane_size out_of_orderness allowed_lateness max_future);
    my @seconds = split /\|/,
      $self->value("SELECT $intervals FROM topk.source WHERE name = " . _literal($self->{name}));
    my %source = map { $_ => 0 + shift @seconds } qw(pane out_of_orderness allowed_lateness max_future);
    for my $option (qw(event_type_path time_path tenant_path))
    {
        $source{$option} = $self->{source}{$option} if defined $self->{source}{$option};
    }
    # panes are minutes, so that window needs no file of its own
    my $windows = $self->value("SELECT coalesce(json_agg(json_build_object('name', window_name, 'size_seconds', extract(epoch FROM size),
            'origin_seconds', extract(epoch FROM origin), 'time_zone', time_zone)), '[]')
        FROM topk.source_window JOIN topk.source USING (source_id)
        WHERE name = " . _literal($self->{name}) . " AND window_name <> '1-minute'");
    my %changing = $self->{versions} ? (versions => $self->{versions}, adoption => $self->_adoption) : %{ $self->_countable };
    open my $file, '>', $path or croak "could not write $path: $!";
    print {$file} encode_json(
        {   source     => \%source,
            %changing,
            partitions => scalar(my @partitions = $self->{kafka}->offsets($self->{topic})),
            windows    => decode_json($windows)
        });
    close $file or croak "could not write $path: $!";
    return;
}

sub _load
{
    my ($self, $directory) = @_;
    $self->value(<<"SQL");
DROP SCHEMA IF EXISTS oracle CASCADE;
CREATE SCHEMA oracle;
CREATE TABLE oracle.pane (pane_start bigint, tenant text, item_type text, dimension text, value text, item text, count bigint);
CREATE TABLE oracle.larger (window_name text, LIKE oracle.pane);
CREATE VIEW oracle.win AS SELECT '1-minute' AS window_name, pane_start AS window_start, tenant, item_type, dimension, value, item, count
    FROM oracle.pane UNION ALL SELECT * FROM oracle.larger;
CREATE TABLE oracle.total (tenant text, item_type text, item text, count bigint);
CREATE TABLE oracle.dead_letter (partition integer, kafka_offset bigint, reason text);
CREATE TABLE oracle.late_event (partition integer, kafka_offset bigint, event_us bigint, tenant text, event_type text);
\\copy oracle.pane FROM '$directory/panes.tsv'
\\copy oracle.larger FROM '$directory/windows.tsv'
\\copy oracle.total FROM '$directory/global.tsv'
\\copy oracle.dead_letter FROM '$directory/dead_letters.tsv'
\\copy oracle.late_event FROM '$directory/late_events.tsv'
ANALYZE oracle.pane, oracle.larger, oracle.total;
SQL
    return;
}

1;
