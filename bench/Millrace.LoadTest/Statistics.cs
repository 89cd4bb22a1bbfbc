namespace Millrace.LoadTest;

internal static class Statistics
{
    public static double Median(IEnumerable<double> values) => Quantile(values, 0.5);

    public static double Quantile(IEnumerable<double> values, double quantile)
    {
        double[] sorted = [.. values.Order()];
        return sorted[(int)Math.Min(sorted.Length - 1, quantile * sorted.Length)];
    }

    /// <summary>Measures two things in turn, A B B A, so that a machine that slows down slows both, and gives the medians.</summary>
    public static (double Ours, double Reference) InTurn(int rounds, Func<double> ours, Func<double> reference)
    {
        // What is compiled on the way is not measured.
        ours();
        reference();
        List<double> a = [];
        List<double> b = [];
        for (int round = 0; round < rounds; round++)
        {
            if (round % 2 == 0)
            {
                a.Add(ours());
                b.Add(reference());
            }
            else
            {
                b.Add(reference());
                a.Add(ours());
            }

            Console.WriteLine($"  round {round + 1}: ours {a[^1]:0.###}, reference {b[^1]:0.###}");
        }

        return (Median(a), Median(b));
    }
}
