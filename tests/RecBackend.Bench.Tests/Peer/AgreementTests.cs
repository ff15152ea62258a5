using RecBackend.Bench.Peer;
using RecBackend.Cli;

namespace RecBackend.Bench.Tests.Peer;

public class AgreementTests
{
    private const string Reply = """{"mode":"model","items":[{"id":"a","score":0.9,"cold":false},{"id":"b","score":0.5,"cold":false}]}""";

    [Fact]
    public void Largest_difference_of_two_scores_is_told() =>
        Assert.Equal(0.00009, Check(Reply, Reply.Replace("0.5", "0.50009")), 9);

    [Theory]
    [InlineData("0.5", "0.5002")]
    [InlineData("0.5", "0.95")]
    [InlineData("\"b\"", "\"c\"")]
    [InlineData(",{\"id\":\"b\",\"score\":0.5,\"cold\":false}", "")]
    public void Other_scores_order_or_items_are_refused(string part, string other) =>
        Assert.Throws<CommandException>(() => Check(Reply, Reply.Replace(part, other)));

    private static double Check(string ours, string peers) => Agreement.Check(System.Text.Encoding.UTF8.GetBytes(ours), System.Text.Encoding.UTF8.GetBytes(peers));
}
