package TopK::Test::Kafka;

# Apache Kafka of the test's own: KRaft, one node or several, each broker and
# controller in one, on free ports of 127.0.0.1.
#
#   my $kafka = TopK::Test::Kafka->start($dir);                    # or (..., nodes => 3)
#   $kafka->bootstrap;                                             # "127.0.0.1:40001"
#   $kafka->create_topic('events', 4);
#   $kafka->generate('events', '--events' => 1_000_000, ...);      # bench/gen; returns its summary
#   $kafka->dump('events', "$dir/events.tsv");                     # for test/oracle/recount.py
#   $kafka->offsets('events');                                     # ([first, next], ...) by partition
#   $kafka->stop_node(1); $kafka->kill_node(1); $kafka->freeze_node(1); $kafka->thaw_node(1);
#   $kafka->start_node(1); $kafka->stop;
#   TopK::Test::Kafka->start($dir, proxied => 1);                  # with a second listener, for TopK::Test::Proxy:
#   $kafka->links; $kafka->proxied_bootstrap;                      # clients of this address pass through the links
#
# The jars come from Maven Central (test/kafka/pom.xml), once, by
# scripts/kafka-jars.sh.  The settings are for small tests that start fast: they
# are not an example of how to run Kafka.

use strict;
use warnings;

use Carp         qw(croak);
use File::Path   qw(make_path);
use MIME::Base64 qw(encode_base64);
use TopK::Test::Server qw(free_port spawn stop_process process_runs forget_process log_tail);
use TopK::Test::Tools  qw(top_dir build_dir tool run_command capture);

use constant START_SECONDS => 60;

# Options: nodes (1), heap ('512m'), settings ({name => value} for every node),
# jvm (a list of further options for Java), proxied (see above), secure ({user => ..., password => ...}:
# a second listener, TLS with PLAIN and SCRAM-SHA-256; see secure_bootstrap and ca_file), older (the version of Kafka
# that test/kafka/pom.xml calls so).
sub start
{
    my ($class, $dir, %options) = @_;
    my $self = bless {
        dir      => $dir,
        heap     => $options{heap} // '512m',
        settings => $options{settings} // {},
        jvm      => $options{jvm} // [],
        secure   => $options{secure},
        jars     => build_dir() . '/kafka/' . ($options{older} ? 'older' : 'libs'),
        cluster  => _random_id(),
        nodes    => [ map { { id => $_, dir => "$dir/node$_", port => free_port(), controller => free_port() } }
              1 .. ($options{nodes} // 1) ],
    }, $class;
    @{$_}{qw(behind proxy)} = (free_port(), free_port()) for grep { $options{proxied} } @{ $self->{nodes} };
    run_command(top_dir() . '/scripts/kafka-jars.sh', ($options{older} ? '--older' : ()), $self->{jars});
    $self->_make_certificate if $self->{secure};
    $self->_format_node($_) for @{ $self->{nodes} };
    $self->_launch_node($_) for @{ $self->{nodes} };
    $self->wait_ready;
    return $self;
}

sub bootstrap
{
    my ($self) = @_;
    return join ',', map { "127.0.0.1:$_->{port}" } @{ $self->{nodes} };
}

# Of the nodes.
sub pids { my ($self) = @_; return map { $_->{pid} } @{ $self->{nodes} }; }

sub proxied_bootstrap
{
    my ($self) = @_;
    return join ',', map { "127.0.0.1:$_->{proxy}" } @{ $self->{nodes} };
}

# What TopK::Test::Proxy has to pass on: (broker1 => [port, port behind it], ...).
sub links
{
    my ($self) = @_;
    return map { ("broker$_->{id}" => [ $_->{proxy}, $_->{behind} ]) } @{ $self->{nodes} };
}
sub secure_bootstrap
{
    my ($self) = @_;
    return join ',', map { "127.0.0.1:$_->{secure_port}" } @{ $self->{nodes} };
}

# The certificate that signed the brokers'.
sub ca_file { my ($self) = @_; return "$self->{dir}/ca.pem"; }

# Until as many brokers answer as should run.
sub wait_ready
{
    my ($self) = @_;
    my @up = grep { process_runs($_->{pid}) } @{ $self->{nodes} };
    return if eval { $self->admin('wait', scalar @up, START_SECONDS); 1 };
    croak "Kafka did not start: $@" . join '', map { "node $_->{id}:\n" . log_tail("$_->{dir}/log") } @{ $self->{nodes} };
}

# ---- topics and what is in them ----

sub admin
{
    my ($self, @command) = @_;
    return capture(tool('kafka_admin'), $self->bootstrap, @command);
}

# Replicated on every node, up to three.
sub create_topic
{
    my ($self, $topic, $partitions, %settings) = @_;
    my $replicas = @{ $self->{nodes} } < 3 ? scalar @{ $self->{nodes} } : 3;
    $self->admin('create', $topic, $partitions, $replicas, map { "$_=$settings{$_}" } sort keys %settings);
    return;
}

sub delete_topic { my ($self, $topic) = @_; $self->admin('delete', $topic); return; }
sub grow_topic { my ($self, $topic, $partitions) = @_; $self->admin('grow', $topic, $partitions); return; }

# Drop a partition's messages before an offset, as retention would.
sub trim { my ($self, $topic, $partition, $offset) = @_; $self->admin('trim', $topic, $partition, $offset); return; }

# For each partition [first offset, offset after the last].
sub offsets
{
    my ($self, $topic) = @_;
    return map { my (undef, $first, $next) = split /\t/; [ $first, $next ] } split /\n/, $self->admin('offsets', $topic);
}

# Run the event generator into a topic; returns its counts ({events => ..., late => ..., 'bad_json/truncated' => ...}).
sub generate
{
    my ($self, $topic, @options) = @_;
    my $log = "$self->{dir}/generate.$$.log";
    my $pid = $self->generate_in_background($topic, $log, @options);
    waitpid $pid, 0;
    croak "the generator failed:\n" . log_tail($log) if $? != 0;
    forget_process($pid);
    return { log_tail($log) =~ /([\w\/]+)=([\d.]+)/g };
}

# The same without waiting; returns its process id.  TERM ends it in order.
sub generate_in_background
{
    my ($self, $topic, $log, @options) = @_;
    unlink $log;
    return spawn($log, tool('topk_gen'), '--quiet', '--brokers' => $self->bootstrap, '--topic' => $topic, @options);
}

# Produce lines "partition<TAB>payload" as they are; before them may come an array of options of kcat.
sub produce
{
    my ($self, $topic, @lines) = @_;
    my @options = ref $lines[0] ? @{ shift @lines } : ();
    my %payloads;
    for my $line (@lines)
    {
        my ($partition, $payload) = $line =~ /\A(\d+)\t(.*)\z/s or croak "no partition in \"$line\"";
        push @{ $payloads{$partition} }, $payload;
    }
    for my $partition (sort keys %payloads)
    {
        open my $pipe, '|-', 'kcat', '-P', '-b', $self->bootstrap, '-t', $topic, '-p', $partition, '-X', 'acks=all', @options
          or croak "could not run kcat: $!";
        print {$pipe} map { "$_\n" } @{ $payloads{$partition} };
        close $pipe or croak "kcat failed: status $?";
    }
    return;
}

# Produce files, each as one message, whatever is in it; '-' is a tombstone.
sub send_files { my ($self, $topic, $partition, @files) = @_; $self->admin('send', $topic, $partition, @files); return; }

# A transaction of these messages; $end is commit, abort, or leave (open until the next).
sub transact
{
    my ($self, $topic, $partition, $end, @messages) = @_;
    open my $pipe, '|-', tool('kafka_admin'), $self->bootstrap, 'transact', $topic, $partition, $end or croak "could not run kafka_admin: $!";
    print {$pipe} map { "$_\n" } @messages;
    close $pipe or croak "the transaction failed: status $?";
    return;
}

# Write what the topic really holds to a file: partition, offset, size (-1 for a
# tombstone) and payload of each message, which recount.py reads exactly.
sub dump
{
    my ($self, $topic, $file) = @_;
    open my $saved, '>&', \*STDOUT or croak "could not keep standard output: $!";
    open STDOUT, '>', $file or croak "could not write $file: $!";
    my $status = system 'kcat', '-C', '-q', '-e', '-b', $self->bootstrap, '-t', $topic, '-o', 'beginning', '-f', '%p\t%o\t%S\t%s\n';
    open STDOUT, '>&', $saved or croak "could not restore standard output: $!";
    croak "kcat failed: status $status" if $status != 0;
    return;
}

# ---- nodes ----

sub stop_node   { my ($self, $id) = @_; stop_process($self->_node($id)->{pid}, 'TERM', 20); return; }
sub kill_node   { my ($self, $id) = @_; stop_process($self->_node($id)->{pid}, 'KILL');     return; }
sub freeze_node { my ($self, $id) = @_; kill 'STOP', $self->_node($id)->{pid};              return; }
sub thaw_node   { my ($self, $id) = @_; kill 'CONT', $self->_node($id)->{pid};              return; }
sub node_pid    { my ($self, $id) = @_; return $self->_node($id)->{pid}; }

# Start a node that was stopped or killed, on its old data and port.
sub start_node
{
    my ($self, $id) = @_;
    $self->_launch_node($self->_node($id));
    $self->wait_ready;
    return;
}

# Nobody will read the data again, so there is no point in an orderly stop.
sub stop
{
    my ($self) = @_;
    $self->kill_node($_->{id}) for @{ $self->{nodes} };
    return;
}

sub detach { my ($self) = @_; forget_process($_->{pid}) for @{ $self->{nodes} }; return; }

sub _node
{
    my ($self, $id) = @_;
    return $self->{nodes}[ $id - 1 ] // croak "no node $id";
}

# Kafka's ids are 16 random bytes in the URL form of base64.
sub _random_id
{
    my $id = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
    $id =~ tr{+/}{-_};
    $id =~ s/=+\z//;
    $id =~ s/\A-/A/;    # or Kafka's tool takes it for an option
    return $id;
}

sub _java
{
    my ($self, @arguments) = @_;
    return ('java', "-Xmx$self->{heap}", @{ $self->{jvm} }, '-Xshare:auto', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        '-Dorg.slf4j.simpleLogger.showDateTime=true', '-cp', "$self->{jars}/*", @arguments);
}

sub _properties
{
    my ($self, $node) = @_;
    my $replicas = @{ $self->{nodes} } < 3 ? 1 : 3;
    my $voters   = join ',', map { "$_->{id}\@127.0.0.1:$_->{controller}" } @{ $self->{nodes} };
    return {
        'process.roles'                  => 'broker,controller',
        'node.id'                        => $node->{id},
        'controller.quorum.voters'       => $voters,
        'controller.listener.names'      => 'CONTROLLER',
        'listeners'                      => "PLAINTEXT://127.0.0.1:$node->{port},CONTROLLER://127.0.0.1:$node->{controller}",
        'listener.security.protocol.map' => 'PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT',
        'log.dirs'                       => "$node->{dir}/data",
        'auto.create.topics.enable'      => 'false',
        'default.replication.factor'     => $replicas,
        'min.insync.replicas'            => $replicas < 3 ? 1 : 2,
        'offsets.topic.replication.factor'         => $replicas,
        'offsets.topic.num.partitions'             => 1,
        'transaction.state.log.replication.factor' => $replicas,
        'transaction.state.log.min.isr'            => $replicas < 3 ? 1 : 2,
        'transaction.state.log.num.partitions'     => 1,
        'share.coordinator.state.topic.replication.factor' => $replicas,
        'share.coordinator.state.topic.min.isr'    => $replicas < 3 ? 1 : 2,
        'group.initial.rebalance.delay.ms'         => 0,
        'log.retention.ms'                         => -1,
        'log.cleaner.dedupe.buffer.size'           => 2 * 1024 * 1024,
        'num.io.threads'                           => 4,
        'num.network.threads'                      => 2,
        'num.recovery.threads.per.data.dir'        => 1,
        'broker.heartbeat.interval.ms'             => 500,
        'broker.session.timeout.ms'                => 3000,    # how long a killed node is waited for
        'controller.quorum.election.timeout.ms'    => 1000,
        'controller.quorum.fetch.timeout.ms'       => 2000,
        'initial.broker.registration.timeout.ms'   => 30000,
        ($node->{proxy} ? _proxied_listener($node) : ()),
        ($self->{secure} ? $self->_secure_properties($node) : ()),
        %{ $self->{settings} },
    };
}

# A broker tells its clients where it is, so what goes through a proxy needs a listener that tells of the proxy.
sub _proxied_listener
{
    my ($node) = @_;
    my $plain = "PLAINTEXT://127.0.0.1:$node->{port}";
    return (
        'listeners' => "$plain,PROXIED://127.0.0.1:$node->{behind},CONTROLLER://127.0.0.1:$node->{controller}",
        'advertised.listeners'         => "$plain,PROXIED://127.0.0.1:$node->{proxy}",
        'inter.broker.listener.name'   => 'PLAINTEXT',
    );
}

# ---- TLS and SCRAM ----

# A certificate authority of the test's own, and a certificate for 127.0.0.1 signed by it.
sub _make_certificate
{
    my ($self) = @_;
    my $dir = $self->{dir};
    make_path($dir);
    my @quiet = ('-keyout' => "$dir/ca.key", '-out' => "$dir/ca.pem");
    capture('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 2, '-subj', '/CN=test authority', @quiet);
    capture('openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-keyout', "$dir/node.key", '-out', "$dir/node.csr");
    _write_file("$dir/extensions", "subjectAltName=IP:127.0.0.1\n");
    capture('openssl', 'x509', '-req', '-in', "$dir/node.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', 2,
        '-extfile', "$dir/extensions", '-out', "$dir/node.crt");
    capture('openssl', 'pkcs12', '-export', '-in', "$dir/node.crt", '-inkey', "$dir/node.key", '-passout', 'pass:secret', '-out', "$dir/node.p12");
    return;
}

sub _write_file
{
    my ($path, $text) = @_;
    open my $file, '>', $path or croak "could not write $path: $!";
    print {$file} $text;
    close $file or croak "could not write $path: $!";
    return;
}

sub _secure_properties
{
    my ($self, $node) = @_;
    $node->{secure_port} //= free_port();
    return (
        'listeners' => "PLAINTEXT://127.0.0.1:$node->{port},SASL_SSL://127.0.0.1:$node->{secure_port},CONTROLLER://127.0.0.1:$node->{controller}",
        'listener.security.protocol.map' => 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT',
        'inter.broker.listener.name'     => 'PLAINTEXT',
        'sasl.enabled.mechanisms'        => 'PLAIN,SCRAM-SHA-256',
        'listener.name.sasl_ssl.plain.sasl.jaas.config' =>
          "org.apache.kafka.common.security.plain.PlainLoginModule required user_$self->{secure}{user}=\"$self->{secure}{password}\";",
        'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config' => 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
        'ssl.keystore.location' => "$self->{dir}/node.p12",
        'ssl.keystore.type'     => 'PKCS12',
        'ssl.keystore.password' => 'secret',
        'ssl.key.password'      => 'secret',
    );
}

sub _scram_options
{
    my ($self) = @_;
    my $secure = $self->{secure} or return;
    return ('--add-scram', "SCRAM-SHA-256=[name=$secure->{user},password=$secure->{password}]");
}

sub _format_node
{
    my ($self, $node) = @_;
    make_path($node->{dir});
    my $properties = $self->_properties($node);
    open my $file, '>', "$node->{dir}/server.properties" or croak "could not write in $node->{dir}: $!";
    print {$file} map { "$_=$properties->{$_}\n" } sort keys %{$properties};
    close $file or croak "could not write in $node->{dir}: $!";
    capture($self->_java('-XX:TieredStopAtLevel=1', 'kafka.tools.StorageTool', 'format', '-t', $self->{cluster},
            '-c', "$node->{dir}/server.properties", $self->_scram_options));
    return;
}

sub _launch_node
{
    my ($self, $node) = @_;
    $node->{pid} = spawn("$node->{dir}/log", $self->_java('kafka.Kafka', "$node->{dir}/server.properties"));
    return;
}

1;
