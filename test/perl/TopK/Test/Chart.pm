package TopK::Test::Chart;

# Small line charts as SVG, one below the other, for what a bench has sampled.
#
#   write_charts($path, { title => 'Memory', unit => 'MB', series => { worker => [[0, 1.5], [10, 1.6]] } }, ...);

use strict;
use warnings;

use Carp       qw(croak);
use Exporter   qw(import);
use List::Util qw(max);

our @EXPORT_OK = qw(write_charts);

use constant { WIDTH => 640, HEIGHT => 180, LEFT => 60, TOP => 30, LEGEND => 220, GAP => 40 };
my @colours = map { "#$_" } qw(1f77b4 d62728 2ca02c 9467bd ff7f0e 8c564b 17becf e377c2 7f7f7f bcbd22);

sub _escape
{
    my ($text) = @_;
    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;
    return $text;
}

sub _text
{
    my ($x, $y, $text, $attributes) = @_;
    return sprintf '<text x="%.0f" y="%.0f" %s>%s</text>', $x, $y, $attributes // '', _escape($text);
}

sub _chart
{
    my ($chart, $top) = @_;
    my %series = %{ $chart->{series} };
    my @points = map { @{$_} } values %series;
    my $x_max  = max(map({ $_->[0] } @points), 1);
    my $y_max  = 1.1 * max(map({ $_->[1] } @points), 1e-9);
    my $bottom = $top + HEIGHT;
    my @parts  = (
        _text(LEFT, $top - 8, "$chart->{title}, $chart->{unit}", 'font-weight="bold"'),
        sprintf('<path d="M%d %d V%d H%d" fill="none" stroke="black"/>', LEFT, $top, $bottom, LEFT + WIDTH),
        _text(LEFT - 4, $top + 8, sprintf('%.4g', $y_max), 'text-anchor="end"'), _text(LEFT - 4, $bottom, '0', 'text-anchor="end"'),
        _text(LEFT + WIDTH, $bottom + 16, sprintf('%.1f minutes', $x_max / 60), 'text-anchor="end"'));
    my $n = 0;
    for my $name (sort { $series{$b}[-1][1] <=> $series{$a}[-1][1] || $a cmp $b } keys %series)
    {
        my $colour = $colours[ $n % @colours ];
        my @path   = map { sprintf '%.1f,%.1f', LEFT + $_->[0] / $x_max * WIDTH, $bottom - $_->[1] / $y_max * HEIGHT } @{ $series{$name} };
        push @parts, qq(<polyline points="@path" fill="none" stroke="$colour"/>), _text(LEFT + WIDTH + 10, $top + 12 + 15 * $n, $name, qq(fill="$colour"));
        $n++;
    }
    return @parts;
}

sub write_charts
{
    my ($path, @charts) = @_;
    my $step   = TOP + HEIGHT + GAP;
    my @size   = (LEFT + WIDTH + LEGEND, $step * @charts);
    my @parts  = map { _chart($charts[$_], $step * $_ + TOP) } 0 .. $#charts;
    open my $file, '>', $path or croak "could not write $path: $!";
    print {$file} qq(<svg xmlns="http://www.w3.org/2000/svg" width="$size[0]" height="$size[1]" font-family="sans-serif" font-size="11">\n),
      map({ "$_\n" } '<rect width="100%" height="100%" fill="white"/>', @parts, '</svg>');
    close $file or croak "could not write $path: $!";
    return;
}

1;
