using RecBackend.Bench.Curves;

namespace RecBackend.Bench.Tests.Curves;

public class ItemDrawTests
{
    private const int Items = 1_000;

    [Fact]
    public void Items_of_a_draw_are_distinct_and_of_the_catalogue()
    {
        foreach (var draw in new ItemDraw[] { new UniformDraw(Items, 1), new ZipfDraw(Items, 1) })
        {
            var drawn = draw.Draw(Items);

            Assert.Equal(Enumerable.Range(0, Items), drawn.Order());
        }
    }

    [Fact]
    public void One_seed_gives_one_sequence() => Assert.Equal(new ZipfDraw(Items, 5).Draw(50), new ZipfDraw(Items, 5).Draw(50));

    [Fact]
    public void Zipf_draws_an_item_of_rank_r_about_as_often_as_one_over_r()
    {
        var draw = new ZipfDraw(Items, 1);
        var counts = new Dictionary<int, int>();
        for (var i = 0; i < 100_000; i++)
        {
            var item = draw.Draw(1)[0];
            counts[item] = counts.GetValueOrDefault(item) + 1;
        }

        var byRank = counts.Values.OrderDescending().ToArray();

        // The sum of 1/r up to 1,000 is close to ln 1,001 = 6.9; the first rank has ln 2 of it by the continuous form, the tenth ln 1.1.
        Assert.InRange(byRank[0] / 100_000.0, 0.09, 0.11);
        Assert.InRange(byRank[9] / 100_000.0, 0.0125, 0.0150);
    }

    [Fact]
    public void Uniform_draws_every_item_about_as_often()
    {
        var draw = new UniformDraw(10, 1);
        var counts = new int[10];
        for (var i = 0; i < 10_000; i++)
        {
            counts[draw.Draw(1)[0]]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 850, 1_150));
    }
}
