package TopK::Demo::Screen;

# What the demo shows, for a terminal or as plain lines.
#
#   my $screen = TopK::Demo::Screen->new(title => $title, footer => \@lines, dimensions => \@names);
#   my @names = $screen->wanted($seconds);     # the dimensions to look up for the next frame
#   $screen->show(\%look);
#   $screen->close;
#
# In a terminal a frame is written over the last one, in a single write, each line
# erased behind its end: nothing flickers, and it follows the window's size.
# As many dimensions are shown as there is room for, in turn.  Elsewhere a frame
# is a block of lines for one dimension, without the hints at its foot.
#
# A look is { status => what screen.sql's `status` says, rate => ..., closed_total => ...,
#   lists => [ { dimension, sql => [[item, n], ...], redis => [[item, n], ...], key, age,
#                values => [[value, [[item, n], ...]], ...] }, ... ] }.

use strict;
use warnings;

use POSIX qw(strftime);

use constant {
    RANKS         => 10,
    VALUES        => 3,       # of a dimension, the heaviest
    TURN_SECONDS  => 5,       # how long a dimension is shown
    PLAIN_COLUMNS => 110,
    HEAD_LINES    => 5,
};

sub new
{
    my ($class, %fields) = @_;
    my $self = bless { %fields, terminal => -t STDOUT ? 1 : 0 }, $class;
    STDOUT->autoflush(1);
    if ($self->{terminal})
    {
        $self->_measure;
        $SIG{WINCH} = sub { $self->{resized} = 1; };
        print "\e[?25l\e[H\e[2J";
        $self->{opened} = 1;
    }
    return $self;
}

# The cursor is back, and what is printed next goes below the last frame.
sub close    ## no critic (there are no files here)
{
    my ($self) = @_;
    print "\e[?25h" if delete $self->{opened};
    return;
}

# Seconds between two frames.
sub pause
{
    my ($self) = @_;
    return $self->{terminal} ? 1 : TURN_SECONDS;
}

sub wanted
{
    my ($self, $seconds) = @_;
    my @names = @{ $self->{dimensions} };
    my $count = $self->{terminal} ? $self->_room : 1;
    return @names if $count >= @names;
    my $first = int($seconds / TURN_SECONDS) * $count;
    return map { $names[ ($first + $_) % @names ] } 0 .. $count - 1;
}

sub show
{
    my ($self, $look) = @_;
    return print map { "$_\n" } '', _frame($look, $self->{title}, PLAIN_COLUMNS) unless $self->{terminal};
    $self->_measure if delete $self->{resized};
    my ($rows, $columns) = @{$self}{qw(rows columns)};
    my @foot = map { _clip($_, $columns) } @{ $self->{footer} };
    my @body = _frame($look, $self->{title}, $columns);
    splice @body, $rows - 1 - @foot if @body > $rows - 1 - @foot && $rows > 1 + @foot;
    my @lines = (@body, @foot);
    splice @lines, $rows - 1 if @lines > $rows - 1;
    print "\e[H" . join('', map { "$_\e[K\n" } @lines) . "\e[J";
    return;
}

# ---- the terminal's size ----

sub _measure
{
    my ($self) = @_;
    my ($rows, $columns) = split ' ', `stty -F /dev/tty size 2>/dev/null` || '';
    $self->{rows}    = $rows    ? $rows    : 24;
    $self->{columns} = $columns ? $columns : 80;
    return;
}

# How many dimensions fit.
sub _room
{
    my ($self) = @_;
    my $count = int(($self->{rows} - 1 - HEAD_LINES - @{ $self->{footer} }) / (RANKS + VALUES + 3));
    return $count > 1 ? $count : 1;
}

# ---- a frame ----

sub _frame
{
    my ($look, $title, $columns) = @_;
    my @lines = (_head($look, $title), map { ('', _list($_, $look, $columns)) } @{ $look->{lists} });
    return map { _clip($_, $columns) } @lines;
}

sub _head
{
    my ($look, $title) = @_;
    my $s = $look->{status};
    my @lines = (
        'topk demo   ' . _clock($s->{now}) . "   $title",
        sprintf('events      %s read, %s/s, lag %s; late %s, dead letters %s',
            map { _number($_) } $s->{events}, $look->{rate}, @{$s}{qw(lag late dead_letters)}),
        "event time  " . join('; ', _watermark($s), _closed($s, $look->{closed_total})));
    push @lines, "SOURCE      $s->{state}: " . ($s->{last_error} // '') if $s->{state} ne 'running';
    push @lines, "SINK        $s->{sink_state}: " . ($s->{sink_error} // '') if $s->{sink_state} ne 'running';
    return @lines;
}

sub _watermark
{
    my ($s) = @_;
    return 'no watermark yet' unless defined $s->{watermark};
    return sprintf 'watermark %s, %.0f s ago', _clock($s->{watermark}), $s->{now} - $s->{watermark};
}

sub _closed
{
    my ($s, $total) = @_;
    return 'no minute is closed yet' unless defined $s->{closed_minute};
    return 'minute ' . _minute($s->{closed_minute}) . ' closed with ' . _number($total) . ' events';
}

sub _list
{
    my ($list, $look, $columns) = @_;
    my $width = _between(8, int(($columns - 26) / 2), 60);
    my $room  = $columns - $width - 16;
    my $age   = defined $list->{age} ? sprintf('; in Redis as of %.1f s ago', $list->{age}) : '';
    my $key   = length "Redis: $list->{key}" <= $room ? "Redis: $list->{key}" : $list->{key};
    my @lines = (
        sprintf('%s: the top %d of minute %s so far%s',
            $list->{dimension}, RANKS, _minute($look->{status}{minute} * 60), $age),
        sprintf('   %-*s | %s', $width + 10, 'SQL: topk_merge of topk.window_sketch', $key));
    for my $i (0 .. RANKS - 1)
    {
        my @cells = map { _cell($list->{$_}[$i], $width) } qw(sql redis);
        push @lines, sprintf '%2d %s | %s', $i + 1, @cells;
    }
    return @lines, _by_value($list, $columns);
}

sub _cell
{
    my ($pair, $width) = @_;
    return sprintf '%-*s %9s', $width, '', '' unless $pair;
    return sprintf '%-*s %9s', $width, _ending($pair->[0], $width), _number($pair->[1]);
}

# The heaviest values, a line each, with the first items of each.
sub _by_value
{
    my ($list, $columns) = @_;
    my $items = $columns < 100 ? 2 : 3;
    my $width = _between(8, int(($columns - 14) / $items) - 9, 40);
    my @values = @{ $list->{values} };
    splice @values, VALUES if @values > VALUES;
    return map { sprintf '%12s: %s', _ending($_->[0], 12), _first_items($_->[1], $items, $width) } @values;
}

sub _first_items
{
    my ($pairs, $count, $width) = @_;
    my @pairs = @{$pairs};
    splice @pairs, $count if @pairs > $count;
    return join ', ', map { _ending($_->[0], $width) . ' ' . _number($_->[1]) } @pairs;
}

# ---- text ----

sub _between
{
    my ($low, $n, $high) = @_;
    return $n < $low ? $low : $n > $high ? $high : $n;
}

sub _number
{
    my ($n) = @_;
    return '-' unless defined $n;
    my $text = reverse sprintf '%.0f', $n;
    $text =~ s/(\d{3})(?=\d)/$1,/g;
    return scalar reverse $text;
}

sub _clock  { my ($epoch) = @_; return strftime('%H:%M:%S', localtime $epoch); }
sub _minute { my ($epoch) = @_; return strftime('%H:%M',    localtime $epoch); }

# Nothing that an event holds may give the terminal orders.
sub _clip
{
    my ($text, $columns) = @_;
    $text =~ s/[^\x20-\x7e]/?/g;
    $text =~ s/ +\z//;
    return substr $text, 0, $columns;
}

# The end of an item says more than its beginning, and the scheme of a URL least.
sub _ending
{
    my ($text, $width) = @_;
    $text =~ s{\A\w+://}{} if $width < 40 || length $text > $width;
    return length $text <= $width ? $text : '~' . substr $text, 1 - $width;
}

1;
