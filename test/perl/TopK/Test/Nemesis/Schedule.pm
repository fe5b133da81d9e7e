package TopK::Test::Nemesis::Schedule;

# What breaks when: a list of faults that depends on the seed, their number and
# the kinds alone, so that a run can be repeated.
#
#   my @schedule = make_schedule($seed, $number, @kinds);
#
# A kind: {name, group, share, hold => [least, most seconds], targets => [...]}.
# An entry: {number, kind, target, hold, overlaps, settle, pause}:
#   overlaps  it comes while the one before is not repaired yet; only faults of different groups do
#   settle    after the repair the pipeline is given time to read on before the next fault
#
# Every kind comes once before any comes twice, as does every target of a kind, and the last fault is one of
# Redis if there is any, because the run measures how soon after it Redis is right.

use strict;
use warnings;

use Exporter   qw(import);
use List::Util qw(shuffle sum);

our @EXPORT = qw(make_schedule describe_schedule);

use constant { OVERLAP_SHARE => 0.3, SETTLE_SHARE => 0.7, MOST_AT_ONCE => 3 };

sub make_schedule
{
    my ($seed, $number, @kinds) = @_;
    srand $seed;
    my @order = _draw_kinds($number, @kinds);
    my (@schedule, %left);
    for my $kind (@order)
    {
        my $entry = { number => 1 + @schedule, kind => $kind, target => _next_target($kind, \%left), hold => _between(@{ $kind->{hold} }) };
        my $overlaps = rand() < OVERLAP_SHARE;
        @{$entry}{qw(settle pause)} = (rand() < SETTLE_SHARE, _between(0.2, 2));
        $entry->{overlaps} = $overlaps && @schedule && @schedule + 1 < $number && _fits($kind, @schedule);
        push @schedule, $entry;
    }
    srand;    # what follows need not be repeatable, and must not repeat other programs' ports
    return @schedule;
}

sub _draw_kinds
{
    my ($number, @kinds) = @_;
    my @order = shuffle @kinds;
    push @order, _by_share(@kinds) while @order < $number;
    $#order = $number - 1;
    @order = shuffle @order;
    my ($last) = grep { $order[$_]{group} eq 'Redis' } reverse 0 .. $#order;
    push @order, splice @order, $last, 1 if defined $last;
    return @order;
}

sub _by_share
{
    my (@kinds) = @_;
    my $left = rand sum map { $_->{share} } @kinds;
    for my $kind (@kinds)
    {
        return $kind if ($left -= $kind->{share}) < 0;
    }
    return $kinds[-1];
}

# Of the faults that would be there together, no two may be of one group.
sub _fits
{
    my ($kind, @schedule) = @_;
    my @together = ($kind);
    for my $entry (reverse @schedule)
    {
        push @together, $entry->{kind};
        last unless $entry->{overlaps};
    }
    my %groups = map { $_->{group} => 1 } @together;
    return @together <= MOST_AT_ONCE && keys %groups == @together;
}

# Every target once, in any order, before any twice.
sub _next_target
{
    my ($kind, $left) = @_;
    my $targets = $left->{ $kind->{name} } //= [];
    @{$targets} = shuffle @{ $kind->{targets} } if !@{$targets};
    return shift @{$targets};
}

sub _between { my ($least, $most) = @_; return sprintf('%.1f', $least + rand($most - $least)) + 0; }

sub describe_schedule
{
    my (@schedule) = @_;
    return map {
        sprintf '%4d. %-16s %-28s for %.1f s%s%s', $_->{number}, $_->{kind}{name}, $_->{target}, $_->{hold},
          $_->{overlaps} ? ', before the one before is repaired' : '', $_->{settle} ? '' : ', no rest after it'
    } @schedule;
}

1;
